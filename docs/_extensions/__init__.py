"""Extensions of Sphinx: references made from the code, and formulas as MathML."""
