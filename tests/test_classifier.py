"""LabelClassifier: what it predicts and learns, scikit-learn's conventions, real reviews, and what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl

Array = np.ndarray[Any, Any]
TOKENS = [[2, 9], 5, [7]]
CLASSES = ["red", "green", "blue"]
SORTED, ORDER = ["blue", "green", "red"], [2, 1, 0]


def made(n: int, seed: int = 0) -> tuple[Array, list[str]]:
    """Rows [n, 12] and classes drawn from a distribution of which the rows are a biased, too sure account."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12))
    truth = fl.label_logprobs(x, TOKENS, normalize=True)
    y = [CLASSES[rng.choice(3, p=np.exp(row))] for row in truth]
    x[:, 5] -= 1.0
    return (2 * x).astype(np.float32), y


def test_before_fit() -> None:
    x, y = made(60)
    classifier = fl.LabelClassifier(TOKENS, classes=CLASSES)
    scores = fl.label_logprobs(x, TOKENS, normalize=True)
    np.testing.assert_allclose(classifier.predict_log_proba(x), scores[:, ORDER], atol=1e-12)
    assert classifier.predict(x).tolist() == [CLASSES[i] for i in scores.argmax(-1)]
    assert classifier.score(x, y) == np.mean([a == b for a, b in zip(classifier.predict(x), y, strict=True)])
    assert fl.LabelClassifier(TOKENS).predict(x).tolist() == scores.argmax(-1).tolist()
    assert classifier.predict(x[0]) == CLASSES[scores[0].argmax()]
    assert classifier.predict_proba(x.reshape(4, 15, 12)).shape == (4, 15, 3)
    np.testing.assert_allclose(classifier.predict_proba(x).sum(-1), 1)


def test_fit_mends_bias_and_sureness() -> None:
    x, y = made(4000)
    plain = fl.LabelClassifier(TOKENS, classes=CLASSES, method="none").fit(x, y)
    fitted = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    ids = [SORTED.index(name) for name in y]
    assert isinstance(fitted.fit_, fl.Scaling)
    assert fitted.score(x, y) > plain.score(x, y)
    before, after = (fl.calibration_error(c.predict_proba(x), ids) for c in (plain, fitted))
    assert after < 0.03 < before
    assert fitted.fit_.ece_after == pytest.approx(after, abs=1e-6)
    assert fitted.fit_.nll_after == pytest.approx(fl.negative_log_likelihood(fitted.predict_proba(x), ids))
    assert fitted.biases_.argmax() == 1
    held_out, truth = made(1000, seed=1)
    assert fitted.score(held_out, truth) > plain.score(held_out, truth)


def test_columns_stand_in_rising_order_of_the_names() -> None:
    x, y = made(60)
    fitted = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    other = fl.LabelClassifier([TOKENS[i] for i in ORDER], classes=SORTED).fit(x, y)
    assert fitted.classes_.tolist() == other.classes_.tolist() == SORTED
    np.testing.assert_array_equal(fitted.predict_proba(x), other.predict_proba(x))
    assert fitted.predict(x).tolist() == [SORTED[i] for i in fitted.predict_proba(x).argmax(-1)]
    with pytest.raises(ValueError, match=r"tokens\[1\]: token id 12 must be in \[0, 12\)"):
        fl.LabelClassifier([3, 12], classes=["b", "a"]).predict(x)  # the number of the argument, not of the column


def test_classes_before_fit_and_in_words() -> None:
    x, y = made(60)
    classifier = fl.LabelClassifier(TOKENS, classes=CLASSES)
    assert classifier.classes_.tolist() == SORTED
    assert repr(classifier).endswith("  # columns: 'blue', 'green', 'red'")
    assert fl.LabelClassifier(TOKENS).classes_.tolist() == [0, 1, 2]
    by_name = fl.LabelClassifier(dict(zip(CLASSES, TOKENS, strict=True)))
    assert by_name.classes_.tolist() == SORTED
    np.testing.assert_array_equal(by_name.predict_proba(x), classifier.predict_proba(x))
    np.testing.assert_array_equal(by_name.fit(x, y).predict_proba(x), classifier.fit(x, y).predict_proba(x))
    assert classifier.set_params(tokens=TOKENS[:2], classes=["b", "a"]).classes_.tolist() == ["a", "b"]
    assert repr(classifier.set_params(classes=["a"])).endswith("ridge=0.01)")


def test_text_for_tokens_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"tokens\[0\] must be a token id, or several, got the text 'yes': pass \{"):
        fl.LabelClassifier(["yes", "no"])
    with pytest.raises(TypeError, match=r"tokens\[1\] must be a token id, or several, got the text 'no'"):
        fl.LabelClassifier({"yes": [1, 2], "no": "no"})
    with pytest.raises(TypeError, match=r"labels\[0\] must be a token id, or several, got the text 'yes'"):
        fl.label_logprobs([1.0, 2.0], ["yes", "no"])
    with pytest.raises(ValueError, match="classes must be left out where tokens is a dict"):
        fl.LabelClassifier({"yes": 1, "no": 2}, classes=["yes", "no"])


def test_fitted_again_to_rows_of_another_length() -> None:
    x, y = made(60)
    classifier = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x[:, :11], y)
    assert classifier.fit(x, y).n_features_in_ == 12
    assert classifier.predict(x).shape == (60,)


def test_weighted_score() -> None:
    x, y = made(60)
    classifier = fl.LabelClassifier(TOKENS, classes=CLASSES)
    right = classifier.predict(x) == np.array(y)
    weights = np.arange(60)
    assert classifier.score(x, y, sample_weight=weights) == pytest.approx((right * weights).sum() / weights.sum())


def test_methods() -> None:
    x, y = made(500)
    ids = np.array([CLASSES.index(name) for name in y])  # no names: columns as given
    scores = fl.label_logprobs(x, TOKENS, normalize=True)
    temperature = fl.LabelClassifier(TOKENS, method="temperature").fit(x, ids)
    assert isinstance(temperature.fit_, fl.TemperatureFit)
    assert temperature.weights_.tolist() == [1 / fl.fit_temperature(scores, ids).temperature] * 3
    vector = fl.LabelClassifier(TOKENS, method="vector", ridge=0.5).fit(x, ids)
    np.testing.assert_array_equal(vector.weights_, fl.fit_scaling(scores, ids, method="vector", ridge=0.5).weights)
    prior = fl.LabelClassifier(TOKENS, method="prior").fit(x)
    assert prior.fit_ is None
    free = np.exp(scores).mean(0)
    corrected = np.exp(scores) / free
    np.testing.assert_allclose(prior.predict_proba(x), corrected / corrected.sum(-1, keepdims=True))


def test_prior_is_contextual_calibration() -> None:
    """One content-free prompt is itself predicted evenly."""
    x, _ = made(1)
    np.testing.assert_allclose(fl.LabelClassifier(TOKENS, method="prior").fit(x).predict_proba(x), 1 / 3)


def test_banned_class() -> None:
    x, y = made(50)
    classifier = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    x[0, 5] = -np.inf
    p = classifier.predict_proba(x)
    assert p[0, 1] == 0
    assert p[0].sum() == pytest.approx(1)


def test_conventions() -> None:
    tokens = [[1], [2]]
    classifier = fl.LabelClassifier(tokens, classes=["a", "b"], method="prior", ridge=0.5)
    parameters = classifier.get_params()
    assert list(parameters) == ["tokens", "classes", "method", "ridge"]
    assert parameters["tokens"] is tokens
    made_of = "tokens=[[1], [2]], classes=['a', 'b'], method='prior', ridge=0.5"
    assert repr(classifier) == f"LabelClassifier({made_of})  # columns: 'a', 'b'"
    assert classifier.set_params(method="none", ridge=1) is classifier
    assert (classifier.method, classifier.ridge) == ("none", 1)
    with pytest.raises(ValueError, match="LabelClassifier has no parameter 'C'; choices: tokens, classes"):
        classifier.set_params(C=1)
    x, y = made(30)
    fitted = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(twin.predict_proba(x), fitted.predict_proba(x))


def test_with_sklearn() -> None:
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    from sklearn.model_selection import cross_val_score

    x, y = made(80)
    fitted = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    fresh = base.clone(fitted)
    assert not hasattr(fresh, "weights_")
    assert fresh.get_params() == fitted.get_params()
    assert base.is_classifier(fitted)
    assert cross_val_score(fresh, x, y, cv=4).min() > 0.2
    losses = cross_val_score(fresh, x, y, cv=4, scoring="neg_log_loss")
    ids = np.array([CLASSES.index(name) for name in y])
    np.testing.assert_allclose(
        losses, cross_val_score(fl.LabelClassifier(TOKENS), x, ids, cv=4, scoring="neg_log_loss")
    )


def test_real_reviews() -> None:
    """40 reviews, a four-shot prompt: 39 right from the two label tokens."""
    folder = rows.data_folder()
    if folder is None:
        pytest.skip("no real logits: set FASTLOGITS_DATA to the folder of smollm2_*.npz")
    with np.load(folder / "smollm2_sentiment.npz") as file:
        x, tokens, names, gold = (file[name] for name in ("logits", "label_tokens", "labels", "gold"))
    classifier = fl.LabelClassifier(tokens, classes=names)
    assert classifier.score(x, names[gold]) == 0.975
    fitted = classifier.fit(x, names[gold]).fit_
    assert isinstance(fitted, fl.Scaling)
    assert fitted.ece_after < 0.04 < 0.08 < fitted.ece_before


GOOD = np.zeros((2, 12))


@pytest.mark.parametrize(("keywords", "x", "y", "words"), [
    ({"tokens": [[1, 2], 2]}, GOOD, [0, 1], r"tokens\[1\]: token id 2 belongs to tokens\[0\] already"),
    ({"tokens": [1, 12]}, GOOD, [0, 1], r"tokens\[1\]: token id 12 must be in \[0, 12\)"),
    ({"classes": ["a"]}, GOOD, ["a", "a"], r"classes must hold one name per label \(3\)"),
    ({"classes": ["a", "b", "a"]}, GOOD, ["a", "b"], "classes must differ from each other"),
    ({"method": "platt"}, GOOD, [0, 1], "method must be 'bias-corrected' or 'vector'"),
    ({"ridge": -1}, GOOD, [0, 1], "ridge must be finite and > 0, got -1"),
    ({}, GOOD, None, "y must be given for method 'bias-corrected'"),
    ({}, GOOD, [0, 3], r"y\[1\]: 3 is none of the classes \[0, 1, 2\]"),
    ({}, GOOD, [[0, 1]], "y must hold one class per row"),
    ({}, GOOD, [0], r"targets must have shape \(2,\)"),
    ({}, GOOD[0], [0], r"X must have shape \[N, V\]"),
    ({}, GOOD[:0], [], r"X must have shape \[N, V\]"),
    ({}, np.full((1, 12), np.nan), [0], r"X\[0\] contains NaN"),
])  # fmt: skip
def test_refused(keywords: Any, x: Any, y: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.LabelClassifier(**{"tokens": TOKENS, **keywords}).fit(x, y)


def test_columns_refused() -> None:
    x, y = made(20)
    fitted = fl.LabelClassifier(TOKENS, classes=CLASSES).fit(x, y)
    with pytest.raises(ValueError, match="X must have 12 columns, as in fit, got 11"):
        fitted.predict(x[:, 1:])
    with pytest.raises(ValueError, match=r"y must hold one class per row \(20,\), got shape \(1,\)"):
        fitted.score(x, y[:1])
