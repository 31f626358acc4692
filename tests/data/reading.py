"""Read one file with our reader, for the tests of its formats."""

import numpy as np
import pytest

from common.data import CaseError, ImageReader2D

RAMP = np.arange(6, dtype=np.uint8).reshape(2, 3) * 51  # rows 0 51 102 / 153 204 255: no symmetry can hide a flip
UNIT = RAMP / 255


def read(path, **options):
    reader = ImageReader2D(**options)
    return reader.get_data(reader.read(path))


def refused(path, **options):
    with pytest.raises(CaseError) as caught:
        read(path, **options)
    assert caught.value.source == str(path)
    assert caught.value.remedy
    return str(caught.value)
