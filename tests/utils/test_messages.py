import sys

import pytest

from common.utils.messages import PlainError, did_you_mean, print_causes_last, root_cause
from common.utils.optional import optional_import


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("learning_rat", "; did you mean 'learning_rate'?"),
        ("epochs", "; did you mean 'max_epochs'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_did_you_mean(name, expected):
    assert did_you_mean(name, ["learning_rate", "max_epochs", "seed"]) == expected


def test_nothing_to_mean():
    assert did_you_mean("seed", []) == ""


def raised(*errors: Exception) -> Exception:
    """Raise the first error, the second from it, and so on; give the last."""
    caught: Exception | None = None
    for error in errors:
        try:
            raise error from caught
        except Exception as e:
            caught = e
    assert caught is not None
    return caught


def test_root_cause_is_the_first_error():
    first = KeyError("a")
    assert root_cause(raised(first, ValueError("b"), RuntimeError("c"))) is first


@pytest.fixture
def printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    print_causes_last()

    def show(error: Exception) -> str:
        sys.excepthook(type(error), error, error.__traceback__)
        return capsys.readouterr().err

    return show


def test_a_plain_error_is_printed_without_a_traceback(printed):
    assert printed(raised(PlainError("two\nlines"), RuntimeError("wrapped"))) == "Error: two\nlines\n"


def test_another_error_keeps_its_traceback_and_ends_with_the_reason(printed):
    text = printed(raised(FileNotFoundError("no file a.png"), RuntimeError("wrapped")))
    assert text.startswith("Traceback")
    assert text.endswith("\nThe reason: FileNotFoundError: no file a.png\n")


def test_an_error_without_a_cause_is_printed_once(printed):
    assert printed(raised(ValueError("only"))).count("only") == 1


def test_a_missing_library_is_named_with_its_install_command():
    with pytest.raises(ImportError, match=r'absent_library is not installed.*pip install -e "\.\[xai\]"'):
        optional_import("absent_library.part", "xai")


def test_a_present_library_is_imported():
    assert optional_import("json.decoder", "xai").JSONDecoder.__name__ == "JSONDecoder"
