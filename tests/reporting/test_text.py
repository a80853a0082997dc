from transfergate.reporting import render_verdicts
from transfergate.reporting.text import WIDTH
from transfergate.reporting.words import chance, detectable, interval, number, percent


def test_counts_stand_first_then_what_needs_attention(judged):
    evaluation, _ = judged({"GOOD": 3.0, "HARMED": -3.0}, evidence="ticker")
    lines = render_verdicts(evaluation).split("\n")
    assert lines[0] == "2 judged: 1 PROMOTE, 1 REJECT_NEGATIVE_TRANSFER"
    assert lines[1] == "  1 Negative transfer: HARMED"
    text = "\n".join(lines)
    assert text.index("GOOD  PROMOTE") < text.index("HARMED  REJECT_NEGATIVE_TRANSFER")
    for reason in evaluation["tickers"]["GOOD"]["reasons"]:
        assert reason.split()[0] in text
    assert all(len(line) <= WIDTH for line in lines)


def test_many_tickers_are_counted_and_only_decided_ones_listed(judged):
    evaluation, _ = judged({f"T{i}": (i - 4) * 1.5 for i in range(9)}, evidence="ticker")
    reports = list(evaluation["tickers"].values())
    evaluation["tickers"] = {f"N{i:03d}": reports[i % 9] for i in range(450)}
    text = render_verdicts(evaluation)
    lines = text.split("\n")
    assert lines[0].startswith("450 judged: ")
    assert "not shown:" in text
    assert "--html" in lines[-1]
    assert len(lines) < 90
    assert all(len(line) <= WIDTH for line in lines)


def test_one_ticker_is_one_block(judged):
    evaluation, _ = judged({"ONLY": 3.0}, evidence="ticker")
    text = render_verdicts(evaluation)
    assert text.startswith("1 judged: 1 PROMOTE\n\nONLY  PROMOTE")
    assert "std. error" not in text


def test_numbers_as_they_are_written():
    assert number(-0.001, 2, sign=True) == "+0.00"
    assert (number(None, 2), percent(None), interval(None, 1.0)) == ("-", "-", "-")
    assert percent(0.1234) == "+12.3 %"
    assert (chance(0.0001), chance(0.2)) == ("<.001", "0.200")
    assert interval(1.0, 0.1) == "+0.84 to +1.16"


def test_the_detectable_effect_says_how_long_a_small_one_takes():
    report = {"verdict": "INCONCLUSIVE", "mde80": 1.05, "delta_sharpe": 0.55, "n_sessions": 504}
    assert "takes about 8 years" in detectable(report, 0.05)
    assert "out of its reach" in detectable(report | {"delta_sharpe": 0.1}, 0.05)
    assert "years" not in detectable(report | {"delta_sharpe": -0.5}, 0.05)
    assert detectable(report | {"mde80": None}, 0.05) is None
