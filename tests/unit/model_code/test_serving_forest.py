import numpy as np
import pytest
from serving_forest import FEW_ROWS, quicken
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS, LABELS = make_classification(1500, 8, n_informative=6, n_classes=3, random_state=0)
DIFFERENT = np.random.default_rng(1).normal(size=(400, 8)) * 3


def fitted(model):
    return model.fit(ROWS, LABELS)


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor, ExtraTreesRegressor])
def test_a_forest_in_a_loop_answers_to_the_last_bit_as_before(kind):
    # Shallow trees, whose leaves hold fractions: their sum depends on the order.
    plain, quick = (fitted(kind(30, max_depth=4, random_state=0)) for _ in range(2))
    assert quicken(quick)
    name = "predict_proba" if kind is RandomForestClassifier else "predict"
    before, after = getattr(plain, name), getattr(quick, name)
    assert after is not type(quick).__dict__.get(name)
    for rows in (DIFFERENT, DIFFERENT.astype(np.float32), np.tile(DIFFERENT, (4, 1))):
        assert after(rows).tobytes() == before(rows).tobytes()
    for row in DIFFERENT:
        assert after(row[None]).tobytes() == before(row[None]).tobytes()
    assert quick.predict(DIFFERENT).tobytes() == plain.predict(DIFFERENT).tobytes()


def test_a_forest_at_the_end_of_a_pipeline_is_quickened():
    model = fitted(make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)))
    before = model.predict_proba(DIFFERENT)
    assert quicken(model)
    assert "predict_proba" in vars(model.steps[-1][1])
    assert model.predict_proba(DIFFERENT).tobytes() == before.tobytes()


def test_what_the_loop_does_not_take_goes_to_scikit_learn():
    model = fitted(RandomForestClassifier(5, random_state=0))
    quicken(model)
    with pytest.raises(ValueError, match="expecting 8 features"):
        model.predict_proba(DIFFERENT[:, :3])
    with pytest.raises(ValueError, match="infinity"):
        model.predict_proba(np.full((1, 8), np.inf))
    with pytest.raises(ValueError, match="1D array"):
        model.predict_proba(DIFFERENT[0])
    assert model.predict_proba(DIFFERENT[:2].tolist()).shape == (2, 3)
    assert model.predict_proba(np.zeros((FEW_ROWS + 1, 8))).shape == (FEW_ROWS + 1, 3)


def test_a_forest_whose_loop_would_differ_by_a_bit_stays_as_it_is(caplog):
    model = fitted(RandomForestClassifier(5, random_state=0))
    own = model.predict_proba
    model.predict_proba = lambda rows: np.nextafter(own(rows), 2)
    kept = model.predict_proba
    assert not quicken(model)
    assert model.predict_proba is kept
    assert "keeps its own predict_proba" in caplog.text


class Halved(RandomForestClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) / 2


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, n_jobs=2),
        Halved(5),
        GradientBoostingClassifier(n_estimators=3),
    ],
)
def test_other_models_are_left_alone(model):
    assert not quicken(fitted(model))
    assert "predict_proba" not in vars(model)


def test_what_is_no_model_is_left_alone():
    assert not quicken({"weights": [1]})
    assert not quicken(RandomForestClassifier(5))
