"""The loss of pre-training on exams and their reports.

Source: Yang et al., "Visualize What You Learn" (VWYL, A²I²), with the site-level form that learns on few exams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.losses.exam_sites import METHOD_HINT, Sites, Texts, gather_sites, gather_texts
from common.losses.haze import abnormality, agreement, reconstruction, roughness
from common.losses.ranking import ranking, shared_count
from common.losses.report_contrast import equal_sets, report_scores, same_key_sites, share, two_way_contrast
from common.losses.targets import required
from common.losses.view_contrast import LOCAL_FORMS, region_profile, view_contrast
from common.losses.word_region import (
    JOININGS,
    cosine_scores,
    double_softmax_scores,
    sentence_attention,
    sentence_scores,
)
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["VWYLLoss"]

LEVELS = ("side", "exam")
CAPTIONS = ("sentence", "report")
LOCALS = ("sentence", "cosine", "double_softmax")
TARGETS = ("text", "own")
POOLINGS = ("mean", "max", "fused")
FACTS = ("text", "label")
#: Terms of the visualisation and their published weights; 0 for those that are not published.
VISUAL = {
    "reconstruction": 1.0,
    "smoothness": 0.005,
    "sparsity": 0.0,
    "outside": 0.0,
    "agreement": 0.0,
    "normal": 0.0,
}
BREAST = 30 / 255  # brighter pixels are of the breast


class VWYLLoss:
    """Contrast of texts with images as a whole and with their regions, ranking, view contrast and visualisation.

    loss = global · G + local · L + ranking · R + view · W + visual · Σ_k weight_k · A_k, where

    - G and L are contrasts both ways of texts with sites (:func:`common.losses.two_way_contrast`), by the networks'
      vectors and by regions. At level ``"side"`` a site is a breast; L then compares breasts of the same side only, so
      that it cannot be answered by which side it is. With sentences as captions, G and L are each the mean of the
      contrast of sentences and that of reports, whose score is the mean of their sentences'. A sentence without a side
      is about all sides of its exam. A site without a view is compared with nothing.
    - R is :func:`common.losses.ranking` of the reports' scores of G and L,
    - W is :func:`common.losses.view_contrast` of the views' vectors and of their profiles,
    - A_k are ``reconstruction``, ``smoothness`` (published); ``sparsity``: 1 - M inside the breast; ``outside``: 1 - M
      outside; ``agreement``: of 1 - M with the attention of the sentences that name a finding; ``normal``: 1 - M within
      the breast on sides of which no finding is named. The last two need ``sentence_finding``.

    A term whose weight is 0 is not computed. The published loss: ``level="exam", caption="report", targets="own",
    local="double_softmax", pooling="mean", view_form="flatten", contralateral=True, visual_weight=1.0`` and a network
    whose scales are 10.

    Args:
        view_side: side of each view slot.
        global_weight: of G.
        local_weight: of L.
        ranking_weight: of R.
        view_weight: of W.
        visual_weight: of the visualisation; needs a network with a decoder.
        level: what a site is, ``"side"`` or ``"exam"``.
        caption: what a text is, ``"sentence"``, or ``"report"`` at the level of exams.
        local: form of L: ``"sentence"``, :func:`common.losses.sentence_scores`; ``"cosine"``,
            :func:`common.losses.cosine_scores`; ``"double_softmax"``, :func:`common.losses.double_softmax_scores`.
        targets: what belongs together: ``"text"``: all sites of which the same is said, by ``text_key``; ``"own"``: a
            text and the sites it was written of.
        pooling: how views become a site where each is scored alone (G at the level of exams, ``double_softmax``):
            ``"mean"``, ``"max"``, or ``"fused"``: G takes the network's exam vector, ``double_softmax`` the mean.
        joining: how words become a text, ``"sum"`` or ``"mean"``.
        ranking_by: what two sites have in common: keys of their sentences (``"text"``) or findings (``"label"``).
        view_form: local form of W, ``"profile"`` or ``"flatten"``.
        contralateral: see :func:`common.losses.view_contrast`.
        visual: weights of A_k that differ from the published ones.

    Raises:
        ValueError: if a number is out of range, a name unknown, or options do not go together.
    """

    def __init__(
        self,
        view_side: Sequence[int] = (0, 0, 1, 1),
        global_weight: float = 1.0,
        local_weight: float = 1.0,
        ranking_weight: float = 0.001,
        view_weight: float = 0.001,
        visual_weight: float = 0.0,
        level: str = "side",
        caption: str = "sentence",
        local: str = "sentence",
        targets: str = "text",
        pooling: str = "mean",
        joining: str = "sum",
        ranking_by: str = "text",
        view_form: str = "profile",
        contralateral: bool = False,
        visual: Mapping[str, float] | None = None,
    ) -> None:
        for name, given, options in (
            ("level", level, LEVELS),
            ("caption", caption, CAPTIONS),
            ("local", local, LOCALS),
            ("targets", targets, TARGETS),
            ("pooling", pooling, POOLINGS),
            ("joining", joining, JOININGS),
            ("ranking_by", ranking_by, FACTS),
            ("view_form", view_form, LOCAL_FORMS),
            *(("visual", name, VISUAL) for name in visual or ()),
        ):
            check_choice(name, given, options)
        if caption == "report" and level == "side":
            raise ValueError("caption is 'report' at level 'side', but a report is about an exam; set level to 'exam'")
        self.weights = {
            "global": global_weight,
            "local": local_weight,
            "ranking": ranking_weight,
            "view": view_weight,
            "visual": visual_weight,
        }
        self.visual = {**VISUAL, **(visual or {})}
        for name, weight in (self.weights | self.visual).items():
            if weight < 0:
                raise ValueError(f"the weight of '{name}' is {weight}, expected 0 or more")
        self.view_side = tuple(view_side)
        self.by_side = level == "side"
        self.caption, self.local, self.targets, self.pooling = caption, local, targets, pooling
        self.joining, self.ranking_by, self.view_form = joining, ranking_by, view_form
        self.contralateral = contralateral

    def uses(self, *names: str) -> bool:
        """Return whether any of the terms ``global``, ``local``, ``ranking``, ``view`` and ``visual`` has a weight."""
        return any(self.weights[name] > 0 for name in names)

    def terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute each exam's share of the terms; all but those of the visualisation are relative to the batch.

        Args:
            outputs: of the network's ``match``.
            batch: ``text_key`` (E,N) for targets or ranking by text, ``sentence_side`` (E,N) at level ``"side"``,
                ``label`` (E,S·F) for ranking by label, ``image`` (E,V,1,H,W) and ``sentence_finding`` (E,N) (1 names a
                finding, 0 denies one, -1 neither) for the visualisation.

        Returns:
            ``global``, ``local``, ``ranking``, ``view`` and the names of the visualisation's terms, (E,) each, as far
            as they count; the mean of a term over the exams is its value for the batch.

        Raises:
            ValueError: if a value is missing or does not fit.
        """
        view_mask = required(outputs, "view_mask", METHOD_HINT)
        with torch.autocast(view_mask.device.type, enabled=False):
            outputs = {name: at_least_float32(v) if v.is_floating_point() else v for name, v in outputs.items()}
            terms = self._text_terms(outputs, batch) if self.uses("global", "local", "ranking") else {}
            if self.uses("view"):
                terms["view"] = self._view_term(outputs)
            if self.uses("visual"):
                terms |= self._visual_terms(outputs, batch)
        return terms

    def reduce(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make one loss of the terms of a batch or a data set.

        Returns:
            Scalars ``loss`` and the terms, unweighted, as far as they are there.
        """
        parts = {name: value.mean() for name, value in terms.items()}
        factors = self.weights | {name: self.weights["visual"] * weight for name, weight in self.visual.items()}
        weighted = [factors[name] * value for name, value in parts.items()]
        return {"loss": torch.stack(weighted).sum(), **parts}

    def _text_terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the contrasts and the ranking of their scores."""
        if self.targets == "text" or (self.uses("ranking") and self.ranking_by == "text"):
            required(batch, "text_key", "set targets to 'own' and ranking_by to 'label', or add TokenizeReportd's keys")
        sites = gather_sites(outputs["view_mask"], self.view_side, self.by_side)
        texts = gather_texts(outputs, batch, sites, self.caption == "report", self.by_side)
        scores = {}
        if self.uses("global"):
            scores["global"] = required(outputs, "scale_global", METHOD_HINT) * self._global_scores(
                outputs, texts, sites
            )
        if self.uses("local"):
            scale = required(outputs, "scale_local", METHOD_HINT)
            scores["local"] = scale * self._local_scores(outputs, texts, sites)
        terms = {name: self._contrast(values, texts, sites, name == "local") for name, values in scores.items()}
        if self.uses("ranking"):
            shared = self._shared(texts, batch, sites)
            ranked = [self._ranking(values, shared, texts, sites, name == "local") for name, values in scores.items()]
            if ranked:
                terms["ranking"] = torch.stack(ranked).sum(0)
        return terms

    def _global_scores(self, outputs: Mapping[str, Tensor], texts: Texts, sites: Sites) -> Tensor:
        """Return the cosines (M,C) of texts and sites."""
        if self.by_side:
            return texts.vector @ required(outputs, "side_vector", METHOD_HINT).flatten(0, 1).T
        if self.pooling == "fused":
            return texts.vector @ required(outputs, "exam_vector", METHOD_HINT).T
        each = required(outputs, "view_vector", METHOD_HINT) @ texts.vector.T
        return self._pooled(each, outputs["view_mask"], sites)

    def _local_scores(self, outputs: Mapping[str, Tensor], texts: Texts, sites: Sites) -> Tensor:
        """Return the scores (M,C) of texts and the sites' regions."""
        region, mask = (required(outputs, name, METHOD_HINT) for name in ("region", "region_mask"))
        if self.local == "sentence":
            regions, counts = sites.regions_of(region, mask)
            return sentence_scores(regions, texts.local, counts, outputs["sharpness"]).T
        if texts.word is None or texts.word_mask is None:
            raise ValueError(
                f"local is '{self.local}', which compares words, but the network returned no 'word_vector'; let it "
                "return words, or set local to 'sentence'"
            )
        if self.local == "cosine":
            regions, counts = sites.regions_of(region, mask)
            words = texts.word, texts.word_mask
            return cosine_scores(regions, *words, counts, outputs["sharpness"], joining=self.joining).T
        views = region.flatten(3).flatten(0, 1), mask.flatten(2).flatten(0, 1)
        each = double_softmax_scores(views[0], texts.word, texts.word_mask, views[1], joining=self.joining)
        return self._pooled(each.unflatten(0, mask.shape[:2]), outputs["view_mask"], sites)

    def _pooled(self, each: Tensor, view_mask: Tensor, sites: Sites) -> Tensor:
        """Return the scores (M,C) of sites for those of views (E,V,M)."""
        values, exists = sites.views_of(each), sites.exists(view_mask).unsqueeze(2)
        if self.pooling == "max":
            best = values.masked_fill(~exists, -torch.inf).amax(1)
            return torch.where(exists.any(1), best, 0.0).T
        return ((values * exists).sum(1) / exists.sum(1).clamp(min=1)).T

    def _contrast(self, scores: Tensor, texts: Texts, sites: Sites, same_side: bool) -> Tensor:
        """Return the contrast (E,) of texts with sites; of sentences and of reports, if captions are sentences."""
        exams = int(sites.exam[-1]) + 1
        by_text = self.targets == "text"
        reports = report_scores(scores, texts.owner)
        right = equal_sets(texts.sets) if by_text else torch.eye(len(reports), device=scores.device).bool()
        allowed = texts.owner.any(0).unsqueeze(1) & sites.present & self._comparable(sites.side, sites, same_side)
        of_reports = two_way_contrast(reports, right, sites.exam, sites.exam, exams, allowed)
        if self.caption == "report":
            return of_reports
        right = same_key_sites(texts.key, texts.owner) if by_text else texts.owner
        allowed = sites.present & self._comparable(texts.side, sites, same_side)
        return (of_reports + two_way_contrast(scores, right, texts.exam, sites.exam, exams, allowed)) / 2

    def _comparable(self, side: Tensor, sites: Sites, same_side: bool) -> Tensor:
        """Return which sites texts of a side may be compared with."""
        if not (same_side and self.by_side):
            return torch.ones(len(side), len(sites.side), dtype=torch.bool, device=side.device)
        return (side.unsqueeze(1) == sites.side) | (side < 0).unsqueeze(1)

    def _shared(self, texts: Texts, batch: Mapping[str, Any], sites: Sites) -> Tensor:
        """Return how much any two sites have in common (C,C)."""
        if self.ranking_by == "text":
            return shared_count(texts.sets)
        label = required(batch, "label", "set ranking_by to 'text', or add labels to the items of the datalist")
        return shared_count(label.reshape(len(sites.exam), -1))

    def _ranking(self, scores: Tensor, shared: Tensor, texts: Texts, sites: Sites, same_side: bool) -> Tensor:
        """Return each exam's share (E,) of the ranking of reports."""
        told = texts.owner.any(0)
        allowed = told & told.unsqueeze(1) & self._comparable(sites.side, sites, same_side)
        each = ranking(report_scores(scores, texts.owner), shared, allowed)
        exams = int(sites.exam[-1]) + 1
        return exams * each.new_zeros(exams).index_add(0, sites.exam, each)

    def _view_term(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the contrast (E,) of a side's views, as a whole and by their regions."""
        region, mask = (required(outputs, name, METHOD_HINT) for name in ("region", "region_mask"))
        profile = region_profile(region, mask, self.view_form)
        vectors = (required(outputs, "view_vector", METHOD_HINT), profile)
        mask, opposite = outputs["view_mask"], self.contralateral
        each = [view_contrast(vector, mask, self.view_side, contralateral=opposite) for vector in vectors]
        return torch.stack(each).sum(0)

    def _visual_terms(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the terms of the visualisation that have a weight."""
        hint = "give the network a decoder, or set visual_weight to 0"
        clear, enhanced = (required(outputs, name, hint) for name in ("transmission", "enhanced"))
        view_mask, image = outputs["view_mask"], at_least_float32(batch["image"][:, :, 0])
        breast = image > BREAST
        each = {
            "reconstruction": lambda: reconstruction(clear, enhanced, image),
            "smoothness": lambda: roughness(clear),
            "sparsity": lambda: abnormality(clear, breast),
            "outside": lambda: abnormality(clear, ~breast),
        }
        exam = torch.arange(len(view_mask), device=view_mask.device).repeat_interleave(view_mask.shape[1])
        terms = {
            name: share(function().flatten(), view_mask.flatten(), exam, len(view_mask))
            for name, function in each.items()
            if self.visual[name] > 0
        }
        if self.visual["agreement"] > 0 or self.visual["normal"] > 0:
            terms |= self._meaning_terms(outputs, batch, breast)
        return terms

    def _meaning_terms(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], breast: Tensor
    ) -> dict[str, Tensor]:
        """Return ``agreement`` on sides of which a finding is named and ``normal`` on the other ones."""
        finding = required(batch, "sentence_finding", "set the visual weights 'agreement' and 'normal' to 0")
        side = required(batch, "sentence_side", "set the visual weights 'agreement' and 'normal' to 0")
        clear, mask, exams = outputs["transmission"], outputs["sentence_mask"], len(breast)
        sites = gather_sites(outputs["view_mask"], self.view_side, by_side=True)
        number = int(sites.side.max()) + 1
        about = (side.unsqueeze(2) == torch.arange(number, device=side.device)) | (side < 0).unsqueeze(2)
        named = (about & (mask & (finding == 1)).unsqueeze(2)).any(1).flatten() & sites.present
        silent = (about & mask.unsqueeze(2)).any(1).flatten() & sites.present & ~named
        terms = {}
        if self.visual["agreement"] > 0:
            counts = outputs["region_mask"]
            attention = self._finding_attention(outputs, side, mask & (finding == 1))
            abnormal = 1 - required(outputs, "region_transmission", METHOD_HINT).flatten(2)
            exists = sites.exists(outputs["view_mask"]).unsqueeze(2)
            given = (sites.views_of(counts.flatten(2)) & exists).flatten(1)
            ours, target = (sites.views_of(values).flatten(1) for values in (abnormal, attention))
            terms["agreement"] = share(agreement(ours, target, given), named, sites.exam, exams)
        if self.visual["normal"] > 0:
            each = sites.views_of(abnormality(clear, breast))
            exists = sites.exists(outputs["view_mask"])
            mean = (each * exists).sum(1) / exists.sum(1).clamp(min=1)
            terms["normal"] = share(mean, silent, sites.exam, exams)
        return terms

    @torch.no_grad()
    def _finding_attention(self, outputs: Mapping[str, Tensor], side: Tensor, names: Tensor) -> Tensor:
        """Return how much the sentences (E,N) that name findings look at the regions (E,V,h·w) of their side."""
        counts = outputs["region_mask"].flatten(2)
        slots = torch.tensor(self.view_side, device=side.device)
        seen = (side.unsqueeze(2) == slots) | (side < 0).unsqueeze(2)
        allowed = seen.unsqueeze(3) & counts.unsqueeze(1)
        region = outputs["region"].flatten(3).transpose(1, 2).flatten(2)
        each = sentence_attention(region, outputs["sentence_local"], allowed.flatten(2), outputs["sharpness"])
        return (each * names.unsqueeze(2)).amax(1).unflatten(1, counts.shape[1:])
