"""The report: one HTML page with a fleet's bill, its pictures, the advice, and sliders that reckon anew.

    curves      what a mode costs over requests and over freshness, and where two modes cost the same
    pictures    curves and bars as inline SVG
    javascript  a small translator: the cost formulas, written once in Python, as the page runs them
    formulas    which formulas those are, and the figures that they need of an entry
    page        all of it as one file

Nothing here is imported by `turnout cost` or `turnout advise`.
"""
