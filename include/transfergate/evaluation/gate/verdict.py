"""From a ticker's figures to its verdict, in a fixed order, with reasons a trader understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transfergate.evaluation.gate.guards import REFERENCE_TOLERANCE
from transfergate.evaluation.gate.measure import Measurement
from transfergate.evaluation.gate.statistic import (
    minimum_detectable_effect,
    p_promote,
    p_reject,
)
from transfergate.settings import GateParams

Verdict = Literal[
    "INVALID", "INCONCLUSIVE", "REJECT_NEGATIVE_TRANSFER", "PROMOTE", "REJECT_GUARDRAIL"
]

MIN_FOUNDATIONS = 4
"""With fewer independent foundations the verdict holds for these foundations only."""


@dataclass(frozen=True)
class Evidence:
    """What the rule in force says about one ticker, and in which words."""

    harm: bool
    benefit: bool
    sentence: str


def decide(measured: Measurement, params: GateParams) -> tuple[Verdict, list[str]]:
    """Give one ticker its verdict and the reasons for it.

    The order: INVALID (no Sharpe ratio, failed audit), INCONCLUSIVE (too short, too few seeds,
    nothing to compare), REJECT_NEGATIVE_TRANSFER, PROMOTE or REJECT_GUARDRAIL, INCONCLUSIVE.
    """
    if unsound := _unsound(measured):
        return "INVALID", unsound
    if short := _too_little(measured, params):
        return "INCONCLUSIVE", [*short, *_warnings(measured), *_ahead(measured)]
    evidence = weigh(measured, params)
    reasons = [_comparison(measured), evidence.sentence]
    verdict: Verdict = "INCONCLUSIVE"
    if measured.delta < 0.0 and evidence.harm:
        verdict = "REJECT_NEGATIVE_TRANSFER"
        reasons.append("Pre-training did harm here: use what the ticker taught by itself.")
    elif measured.delta > params.delta_min and evidence.benefit:
        broken = _broken_guards(measured, params)
        verdict = "REJECT_GUARDRAIL" if broken else "PROMOTE"
        reasons.extend(broken)
    else:
        reasons.append(_detectable(measured, params))
    reasons.extend(_warnings(measured))
    if verdict != "REJECT_GUARDRAIL" or params.zero_shot_guard == "evidence":
        reasons.extend(_ahead(measured))
    return verdict, reasons


def weigh(measured: Measurement, params: GateParams) -> Evidence:
    """Apply the rule in force: the pool's posterior, the point estimate, or the ticker's test."""
    if measured.pooling is not None:
        return _pooled_evidence(measured, params)
    if params.evidence == "point":
        return Evidence(
            harm=measured.delta < -params.delta_min,
            benefit=measured.delta > params.delta_min,
            sentence="Judged by the bare rule, the estimate alone: with nothing to find, half of "
            "all records would pass it.",
        )
    pairs = (measured.delta, measured.se, params.delta_min)
    better, worse = p_promote(*pairs), p_reject(*pairs)
    if measured.delta >= 0.0:
        p, alpha, claim = better, params.alpha_promote, "as good"
    else:
        p, alpha, claim = worse, params.alpha_reject, "as bad"
    return Evidence(
        harm=worse <= params.alpha_reject,
        benefit=better <= params.alpha_promote,
        sentence=f"If there were no difference that matters, chance alone would look {claim} in "
        f"{_percent(p)} of such records; the limit is {_percent(alpha)}.",
    )


def _pooled_evidence(measured: Measurement, params: GateParams) -> Evidence:
    pooling = measured.pooling
    if pooling is None:
        raise ValueError(f"{measured.ticker} was not judged in a pool")
    promising = measured.delta >= 0.0
    probability = pooling.better if promising else pooling.worse
    limit = params.posterior_promote if promising else params.posterior_reject
    return Evidence(
        harm=pooling.worse >= params.posterior_reject,
        benefit=pooling.better >= params.posterior_promote,
        sentence=f"Judged together with the other tickers, the difference shrinks to "
        f"{pooling.shrunken:+.2f}, and is {'better' if promising else 'worse'} by more than "
        f"{params.delta_min:.2f} with probability {_percent(probability)}; "
        f"{_percent(limit)} are asked for.",
    )


def _unsound(measured: Measurement) -> list[str]:
    reasons = [
        f"The {arm} arm returns the same amount on every one of {measured.n_sessions} sessions: "
        f"without risk it has no Sharpe ratio; check how its returns were made."
        for arm in measured.constant
    ]
    return reasons + [
        f"The {audit.name} audit failed, so the arms cannot be compared: {_words(audit.figures)}."
        for audit in measured.failed_audits
    ]


def _too_little(measured: Measurement, params: GateParams) -> list[str]:
    reasons = []
    if measured.n_sessions < params.min_oos_sessions:
        missing = params.min_oos_sessions - measured.n_sessions
        reasons.append(
            f"Only {measured.n_sessions} of the {params.min_oos_sessions} out-of-sample sessions "
            f"that a verdict needs: {missing} are missing."
        )
    if measured.n_seeds < params.min_seeds:
        reasons.append(
            f"Only {measured.n_seeds} of the {params.min_seeds} paired seeds that a verdict "
            f"needs: train {params.min_seeds - measured.n_seeds} more."
        )
    if measured.identical:
        flat = measured.sharpe["finetuned"] == 0.0 and not measured.influence.any()
        what = "Both arms stayed flat" if flat else "Both arms returned the same but for scale"
        reasons.append(f"{what} on all {measured.n_sessions} sessions: nothing to compare.")
    return reasons


def _comparison(measured: Measurement) -> str:
    return (
        f"Sharpe {_rounded(measured.sharpe['finetuned'])} fine-tuned against "
        f"{_rounded(measured.sharpe['scratch'])} from scratch: a difference of "
        f"{measured.delta:+.2f} "
        f"with a standard error of {measured.se:.2f}, over {measured.n_sessions} unseen sessions "
        f"and {measured.n_seeds} paired seeds."
    )


def _detectable(measured: Measurement, params: GateParams) -> str:
    smallest = minimum_detectable_effect(measured.se, params.delta_min, params.alpha_promote)
    if measured.pooling is not None:
        return (
            f"Not enough evidence either way: by itself such a record finds a true difference of "
            f"{smallest:.2f} four times in five; in a pool more often where the other tickers "
            f"show the same, much less often where they show nothing."
        )
    return (
        f"Not enough evidence either way: on such a record a true difference must reach "
        f"{smallest:.2f} to be found four times in five."
    )


_BROKEN = {
    "flat": "the fine-tuned Sharpe ratio itself is {value:.2f}, below {limit:.2f}: holding "
    "nothing would have been better",
    "champion": "against the champion on the same sessions the Sharpe ratio is {value:+.2f}, "
    "below the limit of {limit:+.2f}",
    "zero_shot": "against zero-shot, the foundation without fine-tuning, the Sharpe ratio is "
    "{value:+.2f}, below the limit of {limit:+.2f}: untouched it did better",
    "buy_hold": "against buying and holding the Sharpe ratio is {value:+.2f}, below the "
    "{limit:+.2f} that chance allows",
}


_DESTROYED = (
    "against zero-shot, the foundation without fine-tuning, the Sharpe ratio is {value:+.2f}, "
    "below the {limit:+.2f} that a tolerance of 0.50 and chance allow: fine-tuning destroyed what "
    "the foundation knew"
)


def _broken_guards(measured: Measurement, params: GateParams) -> list[str]:
    """Which guards stop a promotion; the flat one also fails on ruin, which has its own words."""
    words = _BROKEN
    if params.zero_shot_guard == "evidence":
        words = {**_BROKEN, "zero_shot": _DESTROYED}
    reasons = [
        f"It beats the control, but {words[name].format(value=guard.value, limit=guard.limit)}."
        for name, guard in measured.guards.items()
        if guard is not None and not guard.passed and guard.value < guard.limit
    ]
    if "finetuned" in measured.ruined:
        reasons.append("It beats the control, but ruin is never promoted.")
    return reasons


def _warnings(measured: Measurement) -> list[str]:
    names = {"flat": "holding nothing", "ridge": "a ridge-linear policy"}
    trained = {"finetuned": "fine-tuned", "scratch": "from-scratch"}
    reasons = [
        f"RUIN: a seed of the {trained[arm]} arm lost everything on {session}."
        for arm, session in measured.ruined.items()
    ]
    reasons += [
        f"WEAK CONTROL: the from-scratch arm's Sharpe ratio lies {-control.difference:.2f} below "
        f"{names[name]} (standard error {control.se:.2f}): beating it shows little."
        for name, control in measured.control.items()
        if control is not None and control.weak
    ]
    if measured.repeated_seeds:
        reasons.append(
            f"REPEATED SEEDS: seeds {', '.join(map(str, measured.repeated_seeds))} returned, in "
            f"both arms and on every session, what an earlier seed did. If they are copies, the "
            f"luck of training is larger than the standard error says: train each by itself."
        )
    if measured.foundations is not None and measured.foundations < MIN_FOUNDATIONS:
        reasons.append(
            f"CONDITIONAL ON FOUNDATION: the folds rest on {measured.foundations} independent "
            f"foundation(s), fewer than {MIN_FOUNDATIONS}: another pre-training may end otherwise."
        )
    return reasons


def _ahead(measured: Measurement) -> list[str]:
    """Said wherever the guard's own sentence does not say it already."""
    ahead = measured.zero_shot
    if ahead is None or ahead.delta >= REFERENCE_TOLERANCE:
        return []
    return [
        f"ZERO-SHOT AHEAD: the foundation without fine-tuning is {-ahead.delta:.2f} better "
        f"(standard error {ahead.se_time:.2f}): consider serving it as it is."
    ]


def _rounded(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"


def _percent(probability: float) -> str:
    """``3 %``; one decimal where it would otherwise read 0 or 100."""
    if 0.01 <= probability <= 0.99:
        return f"{100 * probability:.0f} %"
    if probability < 0.0005:
        return "fewer than 0.1 %"
    return "more than 99.9 %" if probability > 0.9995 else f"{100 * probability:.1f} %"


def _words(figures: object) -> str:
    """Figures of an audit in one line: the short ones, problems first."""
    if isinstance(figures, dict):
        parts = [
            f"{key} {_words(value)}"
            for key, value in figures.items()
            if value not in ([], {}, None)
        ]
        return ", ".join(parts)
    if isinstance(figures, list | tuple):
        return "; ".join(_words(item) for item in figures)
    return str(figures)
