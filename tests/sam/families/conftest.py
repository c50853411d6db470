from __future__ import annotations

import pytest

pytest.importorskip("transformers", minversion="5.0")


@pytest.fixture(scope="session")
def families_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="session")
def loaded(families_folder):
    """Family -> the model that load_sam makes of the folder transformers wrote."""
    from samlab.sam.load import load_sam
    from tests.sam.families.small import saved

    known = {}

    def load(family):
        if family not in known:
            known[family] = load_sam(saved(family, families_folder), device="cpu")
        return known[family]

    return load
