import re

import numpy as np
import pytest
from geobind_sensors.image import Band, SensorImage, refuse_bare_array

from geobind.errors import DataError


@pytest.fixture
def image():
    bands = (Band("green", 0.56, "1"), Band("red", 0.65, "1"), Band("nir", 0.84, "1"))
    return SensorImage(np.arange(12.0).reshape(3, 2, 2), bands, where="row 7")


@pytest.mark.parametrize(
    ("shape", "said"),
    [((2, 2, 2), "shape [2, 2, 2] for 3 bands"), ((3, 2), "shape [3, 2]"), ((3, 0, 2), "without pixels")],
)
def test_values_that_the_bands_do_not_fit_are_refused(image, shape, said):
    with pytest.raises(DataError, match=re.escape(said)):
        SensorImage(np.zeros(shape), image.bands)


def test_a_mask_of_another_shape_is_refused(image):
    with pytest.raises(DataError, match=r"mask of shape \[3, 2\]"):
        SensorImage(image.values, image.bands, np.ones((3, 2), dtype=bool))


def test_bands_are_selected_in_the_order_that_is_asked_for(image):
    chosen = image.select(["nir", "green"])
    assert chosen.names == ("nir", "green") and chosen.wavelengths() == (0.84, 0.56)
    np.testing.assert_array_equal(chosen.values, image.values[[2, 0]])
    assert chosen.where == "row 7"
    with pytest.raises(DataError, match=r"no band 'rad' \(row 7\).*Did you mean 'red'"):
        image.select(["rad"])


def test_a_band_without_a_wavelength_names_the_conventions_that_fit_all_of_them():
    vv = Band("VV", None, "dB", conventions=("dofa_v1", "clay"))
    vh = Band("VH", None, "dB", conventions=("clay", "dofa_v2"))
    red = Band("red", 0.65, "1")
    values = np.zeros((2, 1, 1))
    with pytest.raises(DataError, match=r"band VV without a wavelength\. Choose .*: dofa_v1, clay\."):
        SensorImage(values, (red, vv)).wavelengths()
    with pytest.raises(DataError, match=r"bands VV, VH without a wavelength\. Choose .*: clay\."):
        SensorImage(values, (vv, vh)).wavelengths()
    with pytest.raises(DataError, match="no convention has one"):
        SensorImage(values, (vv, Band("height", None, "m"))).wavelengths()


def test_only_arrays_that_are_pictures_may_be_bare():
    for item in (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8), "file.jpg", None):
        refuse_bare_array(item)
    for array in (np.zeros((4, 5, 3)), np.zeros((12, 4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8)):
        with pytest.raises(DataError, match=r"says nothing of its bands\. Give geobind_sensors.make_image\("):
            refuse_bare_array(array)
