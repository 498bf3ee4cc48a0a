"""Makes docs/scoring_report.html from the logits of SmolLM2-135M-Instruct: python docs/make_report.py FOLDER.

FOLDER holds smollm2_scores.npz (a text scored token by token), smollm2_sentiment.npz (40 reviews behind a prompt) and
smollm2_vocab.json (the text of each token).
"""

import json
import sys
from pathlib import Path

import numpy as np

import fastlogits as fl
from fastlogits.report import ScoredText, save_report, scoring_report

folder = Path(sys.argv[1])
pieces = json.loads((folder / "smollm2_vocab.json").read_text(encoding="utf-8"))
scores = np.load(folder / "smollm2_scores.npz")
logits, targets = scores["logits"], scores["targets"]
found = fl.token_logprobs(logits, targets, rank=True, argmax=True, entropy=True)
best = [pieces[token] for token in found.argmax]
text = ScoredText.of([pieces[token] for token in targets], found, best=best, name="Text")

sentiment = np.load(folder / "smollm2_sentiment.npz")
labels, gold = sentiment["labels"].tolist(), sentiment["gold"]
truth = np.array([labels.index(each) if each in labels else int(each) for each in gold.tolist()])
classifier = fl.LabelClassifier([[int(token)] for token in sentiment["label_tokens"]], classes=[0, 1])


def curve_of(probs):
    """The reliability of the likelier of two labels."""
    return fl.reliability_curve(probs.max(-1), probs.argmax(-1) == truth, bins=10)


before, accuracy = classifier.predict_proba(sentiment["logits"]), classifier.score(sentiment["logits"], truth)
classifier.fit(sentiment["logits"], truth)
after = classifier.predict_proba(sentiment["logits"])

fit = fl.fit_temperature(logits, targets)
figures = {
    "calibration error": fit.ece_before,
    "fitted temperature": fit.temperature,
    "calibration error at that temperature": fit.ece_after,
    "sentiment of 40 reviews: accuracy": accuracy,
}
curves = {
    "text": fl.reliability_curve(logits, targets, from_logits=True, bins=10),
    "sentiment": curve_of(before),
    "sentiment, fitted": curve_of(after),
}
page = scoring_report(text, curves=curves, figures=figures, title="SmolLM2-135M-Instruct, scored by fastlogits")
save_report(page, Path(__file__).parent / "scoring_report.html")
