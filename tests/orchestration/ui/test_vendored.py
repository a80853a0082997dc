import hashlib
from importlib.resources import files

VENDOR = files("transfergate.orchestration") / "ui" / "static" / "vendor"


def test_the_chart_library_is_the_one_that_was_bundled_and_says_its_licences():
    library = (VENDOR / "echarts.min.js").read_bytes()
    digest, name = (VENDOR / "echarts.min.js.sha256").read_text().split()
    assert (hashlib.sha256(library).hexdigest(), name) == (digest, "echarts.min.js")
    licences = (VENDOR / "echarts.LICENSE.txt").read_text()
    for words in ("Apache License", "Baidu Inc", "Bostock", "Microsoft"):
        assert words in licences, words
