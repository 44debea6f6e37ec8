"""Words that are explained."""

from pixelherd.results.report.terms import TERMS, Terms


def test_the_first_of_each_word_is_explained():
    terms = Terms()
    text = str(terms.explained("<b> edald leads random by points, and edald (random)."))
    assert text.startswith("&lt;b&gt; <button") and text.count("<button") == 3
    assert 'aria-describedby="term-edald">edald</button>' in text and text.endswith("and edald (random).")
    assert '<span class="tight"><button' in text, "no line begins with the comma behind a word"
    assert [word for _, word, _ in terms.used()] == ["eDALD", "points", "random"]


def test_parts_of_words_are_left_alone():
    terms = Terms()
    assert "<button" not in terms.explained("randomly, margin-left, my_points, _area")
    assert terms.key("pixel") == "" and terms.used() == []


def test_longer_words_come_first():
    terms = Terms()
    assert terms.key("mean class accuracy (%)") == "term-mean-class-accuracy"
    assert terms.key("Holm (sign-flip)") == "term-holm"


def test_ids_are_their_own():
    terms = Terms()
    for word in TERMS:
        terms.key(word)
    ids = [key for key, _, _ in terms.used()]
    assert len(set(ids)) == len(TERMS) and all(" " not in key for key in ids)
