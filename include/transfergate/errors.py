"""Every refusal that transfergate can make, as one tree.

TransferGateError
├── SettingsError          a setting is out of bounds or contradicts another
├── SourceError            a source cannot deliver what was asked
│   └── SourceUnavailable  it is away, or refuses for now: the same may work later
├── BarsRejected           a whole batch of bars failed a critical check; nothing was loaded
├── QuarantineError        a quarantined row does not exist, or cannot be released
├── WarehouseBusy          another process holds the DuckDB file
├── WarehouseError         the DuckDB file does not hold what it should
├── SnapshotError          a feature snapshot is missing, torn or does not fit
├── StorageConflict        a write-once object exists with other content
├── StorageUnavailable     the object store cannot be reached, or refuses
├── MarketError            the market arithmetic got an impossible input
├── TrainingError          training diverged or its inputs do not fit
├── NotEnoughData          a ticker has too few sessions for what was asked
├── FoundationRefused      a foundation is not finite, or always holds one position
├── BackupError            a backup cannot be made or put back
├── GateInputError         a file of returns cannot be judged
└── RegistryError          a version or alias does not exist, or may not be moved

A message says what, where, what was expected, what was found, and what to do next.
"""

from __future__ import annotations


class TransferGateError(Exception):
    """Base of every refusal; the command line exits with 2 on it."""


class SettingsError(TransferGateError):
    """A setting is out of bounds or contradicts another."""


class SourceError(TransferGateError):
    """A source cannot deliver what was asked."""


class SourceUnavailable(SourceError):
    """A source is away, or refuses for now; the same may work later."""


class BarsRejected(TransferGateError):
    """A whole batch of bars failed a critical check; nothing was loaded."""


class QuarantineError(TransferGateError):
    """A quarantined row does not exist, or cannot be released."""


class WarehouseBusy(TransferGateError):
    """Another process holds the DuckDB file."""


class WarehouseError(TransferGateError):
    """The DuckDB file does not hold what it should."""


class SnapshotError(TransferGateError):
    """A feature snapshot is missing, torn or does not fit."""


class StorageConflict(TransferGateError):
    """A write-once object exists with other content."""


class StorageUnavailable(TransferGateError):
    """The object store of the artefacts cannot be reached, or refuses; nothing was published."""


class MarketError(TransferGateError):
    """The market arithmetic got an impossible input."""


class TrainingError(TransferGateError):
    """Training diverged or its inputs do not fit."""


class NotEnoughData(TransferGateError):
    """A ticker has too few sessions for what was asked.

    Attributes:
        missing_sessions: How many more sessions would be enough; 0 where that is not known.
    """

    def __init__(self, message: str, missing_sessions: int = 0) -> None:
        super().__init__(message)
        self.missing_sessions = missing_sessions


class FoundationRefused(TransferGateError):
    """A foundation is not finite, or always holds one position: nothing can be transferred."""


class BackupError(TransferGateError):
    """A backup cannot be made or put back; nothing that was there has changed."""


class GateInputError(TransferGateError):
    """A file of returns cannot be judged."""


class RegistryError(TransferGateError):
    """A version or alias does not exist, or may not be moved."""
