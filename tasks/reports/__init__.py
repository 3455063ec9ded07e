"""The pages that people read, from records.

Where do I go to change ...?

    drift_page.py, model_page.py, approval_page.py, validation_page.py, decision_page.py,
    fleet_page.py, overview_page.py, act_page.py, whatif_page.py, compare_page.py
                    one page each
    drift_words.py  what a drift report says in words
    model_card.py   the card of a version, as a page and as Markdown; tables.py: its tables
    templates       their HTML; page.py renders it, and escapes every value
    bars.py, charts.py, timeline.py   geometry of what is drawn
    figures.py      how numbers are written
    summary.py      a batch in one row, for pages and the command line
    quarantine.py   rows in quarantine, on the screen or as CSV
"""
