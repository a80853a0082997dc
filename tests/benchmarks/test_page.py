"""The page of benchmarks says who was compared and who was better."""

from __future__ import annotations

from benchmarks.__main__ import render


def test_a_figure_stands_beside_its_peer():
    row = {"ours": 12345.6, "peer": 0.5, "peer_name": "somebody else", "ratio": 2.0}
    alone = {"ours": 1.0, "peer": None, "peer_name": "none", "ratio": None}
    page = render({"learning": {"steps_per_s": row, "cpu_s": alone}}, "2 processors")
    assert "| steps_per_s | 12,346 | 0.5 | 2 | somebody else |" in page
    assert "| cpu_s | 1 |  |  | none |" in page
