"""Tables of several findings through csv: CheXpert's and PadChest's forms, uncertain labels, contradictions, copies."""

import pytest

from common.data import DatalistError, load_datalist
from common.data.sources.csv_table import convert

SECTIONS = ("training", "validation", "test")


def cases(path):
    return {item["image"]: item for section in SECTIONS for item in load_datalist(path)[section]}


# ---------------------------------------------------------------- CheXpert

CHEXPERT = {
    "table": "train.csv",
    "image": "Path",
    "label": "Edema,Pleural Effusion",
    "patient": "Path",
    "patient_pattern": r"patient\d+",
    "where": "Frontal/Lateral=Frontal",
}
#: No Finding, Edema, Pleural Effusion of each patient in turn.
ROWS = [("1.0", "", ""), ("", "1.0", "-1.0"), ("", "0.0", "1.0"), ("", "-1.0", "")]


@pytest.fixture
def chexpert(tmp_path, picture, write_csv):
    rows = []
    for index in range(24):
        path = f"CheXpert-v1.0-small/train/patient{index // 2:05d}/study{index % 2 + 1}/view1_frontal.jpg"
        picture(path, seed=index)
        nothing, edema, effusion = ROWS[index // 2 % 4]
        row = {"Path": path, "Sex": "F", "Frontal/Lateral": "Frontal", "AP/PA": "AP", "No Finding": nothing}
        rows.append(row | {"Edema": edema, "Pleural Effusion": effusion, "Support Devices": "1.0"})
    rows.append(rows[0] | {"Path": "gone/patient00001/view2_lateral.jpg", "Frontal/Lateral": "Lateral"})
    write_csv(rows, "train.csv")
    return tmp_path


def of_patient(found, number):
    return next(item["label"] for item in found.values() if item["patient_id"] == f"patient{number:05d}")


@pytest.mark.parametrize(
    ("uncertain", "second", "fourth"), [("zero", [1, 0], [0, 0]), ("one", [1, 1], [1, 0]), ("skip", None, None)]
)
def test_what_uncertain_means(chexpert, uncertain, second, fourth):
    found = cases(convert(str(chexpert), **CHEXPERT, uncertain=uncertain, blank="zero"))
    assert of_patient(found, 0) == [0, 0]
    assert of_patient(found, 2) == [0, 1]
    if second is None:
        assert len(found) == 12
        assert {item["patient_id"] for item in found.values()} == {f"patient{2 * n:05d}" for n in range(6)}
    else:
        assert (of_patient(found, 1), of_patient(found, 3)) == (second, fourth)
        assert len(found) == 24, "the lateral view is not wanted"


def test_patients_come_out_of_the_path(chexpert):
    datalist = load_datalist(convert(str(chexpert), **CHEXPERT, uncertain="one", blank="zero"))
    people = [{item["patient_id"] for item in datalist[section]} for section in SECTIONS]
    assert set.union(*people) == {f"patient{number:05d}" for number in range(12)}
    assert sum(map(len, people)) == 12
    assert datalist["meta"]["classes"] == ["Edema", "Pleural Effusion"]


def test_nothing_must_be_said_to_count_where_there_is_a_background(chexpert, caplog):
    options = CHEXPERT | {"uncertain": "zero", "blank": "zero", "background": "No Finding"}
    with pytest.raises(DatalistError, match="6 rows with neither a label nor 'No Finding': CheXpert-v1"):
        convert(str(chexpert), **options)
    path = convert(str(chexpert), **options, on_problem="skip")
    assert len(cases(path)) == 18
    assert load_datalist(path)["meta"]["background"] == "No Finding"
    text = (chexpert / "train.csv").read_text()
    (chexpert / "train.csv").write_text(text.replace(",1.0,,,", ",1.0,1.0,,", 1))
    with pytest.raises(DatalistError, match="1 rows with a label and 'No Finding'"):
        convert(str(chexpert), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blank": "zero"}, "holds '-1.0', expected 0 or 1; --uncertain zero, one or skip says what it means"),
        ({"uncertain": "one"}, "holds '', expected 0 or 1; --blank zero takes it for 0"),
        ({"uncertain": "ones"}, "uncertain is 'ones'; did you mean 'one'"),
        ({"blank": "one"}, "blank is 'one'; there is: refuse, zero, skip"),
        ({"label": "Edema,Plural Effusion"}, "no column 'Plural Effusion'; did you mean 'Pleural Effusion'"),
        ({"background": "No Findings"}, "no column 'No Findings'; did you mean 'No Finding'"),
        ({"where": "Frontal=Frontal"}, "has no column 'Frontal'; did you mean 'Frontal/Lateral'"),
        ({"where": "Frontal/Lateral"}, "where is 'Frontal/Lateral', expected column=value, such as Projection=PA"),
        ({"where": "AP/PA=LL"}, "no row of .* has AP/PA=LL; there is: AP"),
        ({"patient_pattern": "subject[0-9]"}, "holds nothing like patient_pattern 'subject"),
        ({"patient_pattern": "("}, r"patient_pattern '\(' is no regular expression"),
        ({"patient": None}, r"patient_pattern is 'patient.*', but no column to look in is named; add --patient"),
        ({"label": "Sex", "background": "No Finding"}, "each case has exactly one class; name it as a class instead"),
        ({"unknown": "ignore"}, "unknown is 'ignore', which needs a column with several names"),
        ({"on_problem": "ignore"}, "on_problem is 'ignore', expected refuse or skip"),
    ],
)
def test_mistakes(chexpert, options, words):
    with pytest.raises(DatalistError, match=words):
        convert(str(chexpert), **(CHEXPERT | options))


# ---------------------------------------------------------------- PadChest

PADCHEST = {
    "image": "ImageDir,ImageID",
    "label": "Labels",
    "separator": "list",
    "patient": "PatientID",
    "where": "Projection=PA|AP",
}
LABELS = ["['normal']", "['cardiomegaly', 'pleural effusion']", "['pleural effusion', 'scoliosis']", "['nodule']"]


@pytest.fixture
def padchest(tmp_path, picture, write_csv):
    rows = []
    for index in range(16):
        picture(f"{index % 3}/{index}.png", seed=index)
        row = {"ImageID": f"{index}.png", "ImageDir": str(index % 3), "PatientID": str(index)}
        rows.append(row | {"Projection": ("PA", "AP", "L")[index % 3], "Labels": LABELS[index % 4]})
    write_csv(rows)
    return tmp_path


def test_lists_of_names_and_paths_in_two_columns(padchest):
    path = convert(str(padchest), **PADCHEST)
    assert load_datalist(path)["meta"]["classes"] == [
        "cardiomegaly",
        "nodule",
        "normal",
        "pleural effusion",
        "scoliosis",
    ]
    found = cases(path)
    assert found["1/1.png"] == {"case_id": "1_1", "image": "1/1.png", "label": [1, 0, 0, 1, 0], "patient_id": "1"}
    assert len(found) == 11, "no lateral views"


def test_wanted_names_only(padchest):
    options = PADCHEST | {"classes": "cardiomegaly,pleural effusion", "background": "normal"}
    with pytest.raises(DatalistError, match="unknown label 'nodule'; there is: cardiomegaly, pleural effusion"):
        convert(str(padchest), **options)
    with pytest.raises(DatalistError, match=r"3 rows with neither a label nor 'normal': 0/3\.png, 1/7\.png, 0/15\.png"):
        convert(str(padchest), **options, unknown="ignore")
    found = cases(convert(str(padchest), **options, unknown="ignore", on_problem="skip"))
    assert len(found) == 8
    assert (found["0/0.png"]["label"], found["1/10.png"]["label"]) == ([0, 0], [0, 1])


def test_cells_that_are_no_lists(padchest):
    text = (padchest / "data.csv").read_text()
    (padchest / "data.csv").write_text(text.replace("['normal']", "[normal"))
    with pytest.raises(DatalistError, match=r"has the cell '\[normal', expected a list such as \['edema', 'mass'\]"):
        convert(str(padchest), **PADCHEST)
    (padchest / "data.csv").write_text(text.replace("['normal']", "nan"))
    assert cases(convert(str(padchest), **PADCHEST))["0/0.png"]["label"] == [0, 0, 0, 0]


# ---------------------------------------------------------------- copies


def test_copies_of_images(padchest, caplog):
    (padchest / "1" / "1.png").write_bytes((padchest / "0" / "0.png").read_bytes())
    with pytest.raises(DatalistError, match="1 groups of images with the same content and different labels: 0_0 = 1_1"):
        convert(str(padchest), **PADCHEST)
    assert len(cases(convert(str(padchest), **PADCHEST, on_problem="skip"))) == 9
    (padchest / "1" / "1.png").write_bytes(b"something else")
    (padchest / "0" / "9.png").write_bytes((padchest / "1" / "13.png").read_bytes())
    found = cases(convert(str(padchest), **PADCHEST))
    assert "0/9.png" in found
    assert "1/13.png" not in found
    assert "1 images stand there more than once with the same label; one of each is kept: 0_9 = 1_13" in caplog.text
