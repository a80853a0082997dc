"""The gate: does fine-tuning a foundation beat training from scratch, and how sure is that?

Definition: per ticker the difference of two Sharpe ratios on one out-of-sample record, with a
standard error over time and one over training seeds; verdicts in a fixed order, with reasons.
"""

from transfergate.evaluation.gate.judge import finite, judge, unjudged
from transfergate.evaluation.gate.measure import Audit
from transfergate.evaluation.gate.verdict import Verdict

__all__ = ["Audit", "Verdict", "finite", "judge", "unjudged"]
