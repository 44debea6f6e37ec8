"""ClaSP PE: class-stratified scheduled power predictive entropy (Lüth, Traub et al., TMLR 2026, arXiv 2601.13677)."""

import numpy as np

from pixelherd.selection.acquisition import SMALLEST_INFORMATION
from pixelherd.selection.rules.offer import Offer

STRATIFIED = 2 / 3
"""Share of a round that is asked class by class."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose two thirds of a round class by class, and the rest over all, by noisy log-entropy, which is the score.

    Of class c the score is log(p_c·H(p)) + Gumbel(0, 1)/β, over all log H(p) + Gumbel(0, 1)/β, with noise of their own.
    Classes that the head knows have equal parts, what is over goes to classes drawn by chance; they pick in an order
    drawn by chance, and nobody picks what was picked before. β grows with the number of the round: 1, 2, 3, ….

    The abstract names classes, log-scale noise and a schedule that decays. p_c·H and the share are those of the
    authors' class-balanced entropy in nnActive, the noise that of Kirsch et al. (2023). β's schedule is our reading.
    """
    generator, budget = offer.numpy_generator("clasp_pe"), offer.current.budget
    p = offer.log_probs.double().exp().numpy()
    entropy = -(p * np.log(p, where=p > 0, out=np.zeros_like(p))).sum(axis=1)
    known = generator.permutation(np.flatnonzero(offer.predictor.known.cpu().numpy()))
    each, over = divmod(round(STRATIFIED * budget), len(known))
    parts = [(entropy * p[:, name], each + (place < over)) for place, name in enumerate(known)]
    picks, scores = np.zeros(0, dtype=np.int64), np.zeros(0)
    for score, part in [*parts, (entropy, budget - round(STRATIFIED * budget))]:
        noisy = np.log(score.clip(min=SMALLEST_INFORMATION)) + generator.gumbel(size=len(p)) / offer.current.number
        noisy[picks] = -np.inf
        best = np.argsort(-noisy, kind="stable")[:part]
        picks, scores = np.concatenate([picks, best]), np.concatenate([scores, noisy[best]])
    return offer.rows[picks], scores
