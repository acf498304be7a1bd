"""The dashboard's pages by Streamlit's own driver, and what stands on them."""

from collections.abc import Iterator

from streamlit.testing.v1 import AppTest

from radloop.options import Dashboard

PAGES = (
    "overview",
    "labels",
    "readers",
    "drift",
    "heatmaps",
    "images",
    "feedback",
    "detector",
    "review",
    "reads",
    "retraining",
    "timeline",
    "versions",
)
OF_DATASET = ("overview", "labels", "readers", "drift", "heatmaps", "images")


def opened(page: str, inputs: Dashboard, /, **query: str | list[str]) -> AppTest:
    def script(page, inputs):  # its source is run alone
        import importlib

        importlib.import_module(f"radloop.dashboard.pages.{page}").page(inputs)

    test = AppTest.from_function(script, args=(page, inputs), default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert [error.message for error in test.exception] == []
    return test


def every_view(test: AppTest) -> Iterator[AppTest]:
    """The page in each of its views, one after the other."""
    yield test
    for view in test.segmented_control[0].options if test.segmented_control else []:
        yield choose(test, 0, view)


def every_choice(test: AppTest) -> Iterator[AppTest]:
    """The page in each of its views with each choice of each of the view's own switches."""
    for _ in every_view(test):
        yield test
        for place in range(1, len(test.segmented_control)):
            for choice in test.segmented_control[place].options:
                yield choose(test, place, choice)
        for toggle in test.toggle:
            if not toggle.disabled:
                toggle.set_value(True).run()
                assert [error.message for error in test.exception] == []
                yield test


def choose(test: AppTest, place: int, choice: str) -> AppTest:
    """Click on a choice of a switch."""
    test.segmented_control[place].set_value(choice).run()
    assert [error.message for error in test.exception] == []
    return test


def written(test: AppTest) -> str:
    """Every word on the page, as Markdown."""
    parts = [*test.markdown, *test.caption, *test.info, *test.error, *test.warning, *test.success, *test.code]
    return "\n".join(part.value for part in parts)


def said(test: AppTest) -> str:
    """Every word on the page, as it reads."""
    return written(test).replace("\\", "")
