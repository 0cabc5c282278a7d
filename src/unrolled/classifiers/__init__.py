"""scikit-learn classifiers on recurrent networks: texts, and series of numbers."""

from unrolled.classifiers.sequence import SequenceClassifier
from unrolled.classifiers.text import TextClassifier

__all__ = ["SequenceClassifier", "TextClassifier"]
