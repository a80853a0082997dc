"""Great Expectations behind one door: run expectations on a frame, render a page of the results."""

from __future__ import annotations

import logging
from copy import copy
from html import escape
from typing import Any

import pandas as pd

from transfergate.quality.merging import SAMPLE_ROWS
from transfergate.quality.suite import SUITE_NAME

_CONDITIONS = ("row_condition", "condition_parser")  # Great Expectations reads these itself


class GxRun:
    """One run of a suite on one frame, and the page that shows it.

    Everything but the rendered site lives in memory: no configuration is left behind. The site is a
    folder of its own, because a build deletes pages of runs that it does not know.

    Args:
        expectations: The suite.
        batch_id: Names the run.
        rendered: Folder of the site.
    """

    def __init__(self, expectations: list[Any], batch_id: str, rendered: str) -> None:
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            data_docs_sites={
                "site": {
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": {
                        "class_name": "TupleFilesystemStoreBackend",
                        "base_directory": rendered,
                    },
                }
            },
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        self._context = gx.get_context(mode="ephemeral", project_config=config)
        self._suite = self._context.suites.add(
            gx.ExpectationSuite(name=SUITE_NAME, expectations=list(map(copy, expectations)))
        )
        asset = self._context.data_sources.add_pandas("bars").add_dataframe_asset("bars")
        definition = gx.ValidationDefinition(
            name="bars",
            data=asset.add_batch_definition_whole_dataframe("batch"),
            suite=self._suite,
        )
        self._definition = self._context.validation_definitions.add(definition)
        self._run_id = RunIdentifier(run_name=batch_id)
        self._result: Any = None

    def validate(self, frame: pd.DataFrame) -> list[Any]:
        """Results of Great Expectations, in the order of ``rules_in_order``."""
        indexed = [name for name in ("row_id", "ticker", "session_date") if name in frame.columns]
        self._result = self._definition.run(
            batch_parameters={"dataframe": frame},
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": indexed,
                "partial_unexpected_count": SAMPLE_ROWS,
                "return_unexpected_index_query": False,
            },
            run_id=self._run_id,
        )
        return list(self._result.results)

    def merge(self, expectations: list[Any], results: list[Any]) -> None:
        """Let results of several runs stand for this one's."""
        order = rules_in_order(expectations)
        results = sorted(results, key=lambda r: order.index(r.expectation_config.meta["rule"]))
        passed = sum(bool(result.success) for result in results)
        self._result.results = results
        self._result.success = passed == len(results)
        self._result.statistics = {
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": passed / len(results) * 100,
        }
        self._suite.expectations = list(map(copy, expectations))
        self._suite.save()

    def publish(self) -> None:
        """Render the pages of results and suite; what others wrote is text there, never markup."""
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        suite = ExpectationSuiteIdentifier(name=SUITE_NAME)
        shown = ValidationResultIdentifier(
            expectation_suite_identifier=suite,
            run_id=self._run_id,
            batch_identifier=self._result.batch_id,
        )
        self._result.results = [_as_text(result) for result in self._result.results]
        self._suite.expectations = [_told_as_text(one) for one in self._suite.expectations]
        self._suite.save()
        self._context.validation_results_store.store_validation_results(
            suite_validation_result=self._result,
            suite_validation_result_identifier=shown,
            expectation_suite_identifier=suite,
        )
        shown_pages: Any = [shown, suite]
        self._context.build_data_docs(resource_identifiers=shown_pages)


def _as_text(result: Any) -> Any:
    # Great Expectations writes values into its page as they are.
    shown = copy(result)
    shown.result = _escaped(result.result)
    config = copy(result.expectation_config)
    config.kwargs = {
        name: value if name in _CONDITIONS else _escaped(value)
        for name, value in config.kwargs.items()
    }
    config.meta, config.notes = _escaped(config.meta), _escaped(config.notes)
    config.description = _escaped(config.description)
    shown.expectation_config = config
    return shown


def _told_as_text(expectation: Any) -> Any:
    # A data folder's own file of expectations says what these hold.
    told = {
        name: _escaped(value)
        for name, value in dict(expectation).items()
        if isinstance(value, str | list | tuple | dict) and name not in _CONDITIONS
    }
    return expectation.copy(update=told)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {name: _escaped(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    return value


def rules_in_order(expectations: list[Any]) -> list[str]:
    """Rules as Great Expectations evaluates them: those of one column together."""
    columns: dict[str | None, list[str]] = {}
    for expectation in expectations:
        column = getattr(expectation, "column", None)
        columns.setdefault(column, []).append(str(expectation.meta["rule"]))
    return [rule for rules in columns.values() for rule in rules]
