"""The teaching chapter, replayed: every number that the texts print beside ours, in one page.

    from unrolled import chapter
    chapter.replay("chapter.html")

One module a section: loop, summaries, imdb, toys, ideas, airline; `blocks` is what they are made of, `page` the HTML.
"""

from unrolled.chapter.replay import SECTIONS, Replay, replay

__all__ = ["SECTIONS", "Replay", "replay"]
