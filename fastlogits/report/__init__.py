from fastlogits.report._scored import ScoredText
