"""From texts to ids: cleaning, words, a vocabulary by frequency, and the three in one object that can be saved."""

from unrolled.text.cleaning import clean
from unrolled.text.packed import PackedIds
from unrolled.text.vectorizer import TextVectorizer
from unrolled.text.vocabulary import OOV_ID, PAD_ID, Vocabulary
from unrolled.text.words import split_words

__all__ = ["OOV_ID", "PAD_ID", "PackedIds", "TextVectorizer", "Vocabulary", "clean", "split_words"]
