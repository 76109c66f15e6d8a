"""Which mode a model should have: five questions and two more, rules that are data, and the bill of what they leave.

    questions  what is asked, and the words that answer it
    rules      what an answer excludes or speaks for, with the reason
    ranking    an entry and its answers -> modes in order, with bills, reasons and lines to paste
    changing   what would change the decision
    text       the advice as a person reads it

`questions` and `rules` import nothing of `turnout.config`, which reads them to check an entry against its answers.
"""
