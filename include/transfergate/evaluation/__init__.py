"""Splits, reference policies, the out-of-sample ledger, performance figures and the gate."""
