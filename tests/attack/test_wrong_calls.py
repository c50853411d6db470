"""Fault matrix, calls: a wrong argument is one sentence that names it, whatever the function."""

from __future__ import annotations

import os
import random
import warnings

import pytest

from samlab.errors import SamlabError
from tests.attack.calls import Call, wrong_calls


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    found = list(wrong_calls(tmp_path_factory.mktemp("calls")))
    random.Random(0).shuffle(found)
    return found


def faults(calls: list[Call]) -> list[str]:
    """What is said that is neither a sentence with the argument's name nor a right answer."""
    found = []
    for call in calls:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except SamlabError as error:
            # A path that names nothing is shown itself: "No picture at 'wrong'".
            shown = isinstance(call.value, str) and f"'{call.value}'" in str(error)
            if call.kind and call.wrong not in str(error) and not shown:
                found.append(f"{call}: does not name it: {error}")
        except Exception as error:  # noqa: BLE001
            found.append(f"{call}: {type(error).__name__}: {error!s:.200}")
        else:
            if call.kind:
                found.append(f"{call}: accepted")
    return found


def test_200_wrong_calls_are_sentences(calls, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert faults([call for call in calls if call.kind][:200]) == []


@pytest.mark.slow
@pytest.mark.skipif("SAMLAB_FUZZ" not in os.environ, reason="takes an hour: SAMLAB_FUZZ=1")
def test_every_wrong_call_is_a_sentence_or_has_an_answer(calls, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(calls) > 500
    assert faults(calls) == []
