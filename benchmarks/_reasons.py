"""Why a goal is missed: the first prefix of the figure's name that is known here counts."""

from __future__ import annotations

SEARCHED = (
    "The peer's settings were searched on the very market that it is judged on: with a discount of "
    "0.8 and a lambda of 0.2, where the signal lasts a day, PPO learns about ten times sooner than "
    "with the usual ones (see the row of the usual discount)."
)
REASONS = {
    "env_steps_per_s_gym_anytrading": (
        "Its step does less than ours: no cost, no position in the observation, one price series."
    ),
    "mlp_s_to_90pct": SEARCHED,
    "mlp_steps_per_s_vs_SB3_PPO_16": (
        "Batches of 1,008 in five epochs take fewer gradient steps than smaller ones; whether they "
        "are this peer's best was not searched."
    ),
    "lstm128_steps_per_s_vs_RecurrentPPO_32": (
        "Two epochs, and one LSTM for actor and critic, make this peer fast; how well it learns "
        "with more was not searched."
    ),
}


def reason(figure: str) -> str:
    """The reason for a missed goal, empty where none is known."""
    return next((text for prefix, text in REASONS.items() if figure.startswith(prefix)), "")
