"""Why a goal is missed: the first prefix of the figure's name that is known here counts."""

from __future__ import annotations

SEARCHED = (
    "The peer's discount, lambda and rate were searched for this market, where the signal lasts a "
    "day: PPO with its usual discount takes several times longer (see its row)."
)
REASONS = {
    "env_steps_per_s_gym_anytrading": (
        "Its step does less than ours: no cost, no position in the observation, one price series."
    ),
    "mlp_s_to_90pct": SEARCHED,
    "mlp_steps_per_s_vs_SB3_PPO_16": (
        "The peer's settings are those with which it learns soonest: three epochs a batch, where "
        "five (which learn later) make it a third slower. Of our own update 31 % are the forward "
        "and 40 % the backward pass, half of them matrix products near the machine's rate (see "
        "roofline), 11 % the exact evaluation, 5 % reading paths, 4 % Adam's step; more would take "
        "kernels that fuse operations, which this project does not have."
    ),
    "lstm128_s_to_90pct": (
        "Four or five updates of ours reach it, so a tenth would be a single one more or less; the "
        "peer's rate, batch and epochs were searched, and made it four times faster than before."
    ),
    "lstm128_steps_per_s_vs_RecurrentPPO_32": (
        "One LSTM for actor and critic and large batches make this peer fast; the processor has no "
        "bf16, and half of our time are matrix products at half of the machine's rate."
    ),
    "mlp_64_64_320_fits": (
        "The sigmoids of three positions and 64 units take as long in a stack as alone; what the "
        "stack saves is the overhead of small operations, most of a lone fit's time only where the "
        "machine is quiet."
    ),
}


def reason(figure: str) -> str:
    """The reason for a missed goal, empty where none is known."""
    return next((text for prefix, text in REASONS.items() if figure.startswith(prefix)), "")
