"""A language model's row of logits as a classifier: labels are tokens, calibrated in the manner of scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits._common import params
from fastlogits.calibration import Scaling, TemperatureFit, fit_scaling, fit_temperature
from fastlogits.scoring import labels

__all__ = ["LabelClassifier"]

Floats = NDArray[np.float64]
METHODS = ("bias-corrected", "vector", "temperature", "prior", "none")


class LabelClassifier:
    """Classifies by the tokens with which a model answers; temperature and prior are fitted to calibration data.

    A sample is the model's row of logits [V] at the place of the answer. A class scores the log of the summed mass of
    its tokens among all classes (`label_logprobs` with ``normalize``). `fit` learns weights w and biases b of
    softmax(w * score + b). Without `fit` it classifies by the scores as they are.

    Parameters
    ----------
    tokens : sequence of L int or sequences of int, or dict
        The token of each class, or its spellings; or ``{name: tokens}``, whose keys are the classes.
    classes : sequence of L values, optional
        Their names, what `predict` returns; 0 ... L - 1 by default. In results they stand in rising order, not in that
        of this argument, for scikit-learn's metrics take the columns of `predict_proba` to be sorted. (The columns of
        `label_logprobs` keep the order of its labels.)
    method : {"bias-corrected", "vector", "temperature", "prior", "none"}, default "bias-corrected"
        What `fit` learns. From rows and classes: a temperature and a bias per class (`fit_scaling`), a weight and a
        bias per class, or a temperature (`fit_temperature`). From rows alone: "prior" subtracts the log of the classes'
        mean probability, over content-free prompts (contextual calibration; Zhao et al., 2021) or over the samples
        themselves (batch calibration; Zhou et al., 2024). "none" learns nothing.
    ridge : float > 0, default 0.01
        As in `fit_scaling`; calibration sets of a classifier are small, so it holds more.

    Attributes
    ----------
    classes_ : array [L]
        The names in rising order, that of all columns; there before `fit`, too.
    weights_, biases_ : float64 array [L]
        What was learned.
    fit_ : Scaling, TemperatureFit or None
        The figures before and after.
    n_features_in_ : int
        V.

    Notes
    -----
    Follows scikit-learn's conventions (`get_params`, `set_params`, fitted names with an underscore), so that
    `sklearn.base.clone`, pipelines and cross-validation work; scikit-learn is not needed. What numbers the
    classes before it calls `fit` (`VotingClassifier`, `cross_val_predict` of probabilities) wants ``classes`` left out.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rows = np.log([[0.5, 0.2, 0.1, 0.2], [0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.1, 0.4]])
    >>> classifier = fl.LabelClassifier({"good": [0, 1], "bad": 3})
    >>> classifier.classes_.tolist()
    ['bad', 'good']
    >>> classifier.predict(rows).tolist()
    ['good', 'bad', 'good']
    >>> classifier.predict_proba(rows).round(2).tolist()  # of "bad" and "good", as in classes_
    [[0.22, 0.78], [0.57, 0.43], [0.44, 0.56]]
    >>> classifier.fit(rows, ["good", "bad", "bad"]).score(rows, ["good", "bad", "bad"])
    1.0
    """

    _estimator_type = "classifier"

    def __init__(
        self, tokens: Any, *, classes: Any = None, method: str = "bias-corrected", ridge: float = 1e-2
    ) -> None:
        self.tokens = tokens
        self.classes = classes
        self.method = method
        self.ridge = ridge
        self._named()

    def __repr__(self) -> str:
        made = f"LabelClassifier({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"
        try:
            return f"{made}  # columns: {', '.join(map(repr, self.classes_.tolist()))}"
        except (TypeError, ValueError):  # parameters that were set one by one and do not fit each other yet
            return made

    @property
    def classes_(self) -> NDArray[Any]:
        """The names in rising order, that of all columns."""
        return self._named()[0]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, as they were given; ``deep`` changes nothing."""
        return {name: getattr(self, name) for name in inspect.signature(LabelClassifier).parameters}

    def set_params(self, **parameters: Any) -> LabelClassifier:
        """Sets parameters by name; an unknown one is a ValueError."""
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ValueError(f"LabelClassifier has no parameter {name!r}; choices: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks an estimator for; called by scikit-learn alone."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
        )

    # ---- learning ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> LabelClassifier:  # noqa: N803 - scikit-learn's name
        """Learns from calibration data.

        Parameters
        ----------
        X : array_like [N, V]
            Rows of logits.
        y : sequence of N classes, optional
            Needed by the methods that learn from classes; ignored by "prior" and "none".

        Returns
        -------
        LabelClassifier
            Itself.
        """
        names, _ = self._named()
        method = params.choice("method", self.method, METHODS)
        x = _inputs.logits_array("X", X)
        scores = self._scores(x)
        if scores.ndim != 2 or not len(scores):
            raise ValueError(f"X must have shape [N, V] with N >= 1, got {np.shape(X)}")
        weights, biases = np.ones(len(names)), np.zeros(len(names))
        fit: Scaling | TemperatureFit | None = None
        if method == "prior":
            biases = -np.log(np.exp(scores).mean(0))
            biases -= biases.mean()
        elif method == "temperature":
            fit = fit_temperature(scores, self._targets(y, names), from_logits=True)
            weights /= fit.temperature
        elif method != "none":
            fit = fit_scaling(scores, self._targets(y, names), method=method, ridge=self.ridge, from_logits=True)
            weights, biases = fit.weights, fit.biases
        self.weights_, self.biases_, self.fit_ = weights, biases, fit
        self.n_features_in_ = x.shape[-1]
        return self

    def _named(self, n: int | None = None) -> tuple[NDArray[Any], list[Any]]:
        """Names of the classes in rising order, and the tokens of each, in [0, n)."""
        given, classes = self.tokens, self.classes
        if isinstance(given, Mapping):
            if classes is not None:
                raise ValueError("classes must be left out where tokens is a dict, whose keys are the classes")
            given, classes = list(given.values()), list(given)
        tokens = labels.label_ids(given, n, "tokens")
        if classes is None:
            return np.arange(len(tokens)), tokens
        names = np.asarray(classes)
        if names.ndim != 1 or len(names) != len(tokens):
            raise ValueError(f"classes must hold one name per label ({len(tokens)}), got {classes!r}")
        found, order = np.unique(names, return_index=True)
        if len(found) != len(tokens):
            raise ValueError(f"classes must differ from each other, got {classes!r}")
        return found, [tokens[i] for i in order]

    def _targets(self, y: Any, names: NDArray[Any]) -> NDArray[np.int64]:
        """Numbers of the classes y."""
        if y is None:
            raise ValueError(f"y must be given for method {self.method!r}")
        number = {name: i for i, name in enumerate(names.tolist())}
        given = np.asarray(y)
        if given.ndim != 1:
            raise ValueError(f"y must hold one class per row, got shape {given.shape}")
        for i, name in enumerate(given.tolist()):
            if name not in number:
                raise ValueError(f"y[{i}]: {name!r} is none of the classes {names.tolist()}")
        return np.array([number[name] for name in given.tolist()], np.int64)

    def _scores(self, x: NDArray[Any]) -> Floats:
        """Log-probs among the classes [..., L] of rows [..., V]."""
        return labels.among(x, self._named(x.shape[-1])[1], name="X")

    # ---- answering -----------------------------------------------------------------------------------------------

    def predict_log_proba(self, X: Any) -> Floats:  # noqa: N803
        """Log-probs of the classes, float64 [..., L] in the order of ``classes_``, of rows of logits [..., V]."""
        x = _inputs.logits_array("X", X)
        known = getattr(self, "n_features_in_", x.shape[-1])
        if x.shape[-1] != known:
            raise ValueError(f"X must have {known} columns, as in fit, got {x.shape[-1]}")
        scores = self._scores(x)
        with np.errstate(invalid="ignore"):  # a banned class stays at -inf
            z = scores * getattr(self, "weights_", 1.0) + getattr(self, "biases_", 0.0)
        return labels.log_softmax(z)

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Probabilities of the classes, float64 [..., L] in the order of ``classes_``, of rows of logits [..., V].

        That is the rising order of the names, not the one in which they were given.
        """
        p: Floats = np.exp(self.predict_log_proba(X))
        return p

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The most likely class of each row, [...]; the first one of equals."""
        return self.classes_[self.predict_log_proba(X).argmax(-1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Accuracy: the share of rows [N, V] whose class is y's [N], weighted by ``sample_weight`` [N] if given."""
        right = self._targets(y, self.classes_)
        best = self.predict_log_proba(X).argmax(-1)
        if best.shape != right.shape:
            raise ValueError(f"y must hold one class per row {best.shape}, got shape {right.shape}")
        return float(np.average(best == right, weights=sample_weight))
