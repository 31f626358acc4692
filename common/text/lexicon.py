"""What findings are called in English and Dutch, and words that deny them."""

from __future__ import annotations

__all__ = [
    "DENIALS_AFTER",
    "DENIALS_BEFORE",
    "FINDINGS",
    "GONE",
    "NORMAL",
    "NO_DENIALS",
    "PARTS",
    "SCOPE_ENDS",
    "TERMS",
]

_TERMS = """
left right breast breasts view views craniocaudal mediolateral oblique cc mlo upper lower outer inner quadrant
central subareolar retroareolar axilla axillary anterior middle posterior depth third o'clock position superficial
deep mass masses nodule lesion calcification calcifications microcalcification microcalcifications
macrocalcifications architectural distortion asymmetry focal global developing asymmetric tissue round oval
irregular lobular circumscribed obscured microlobulated indistinct spiculated spicules margin margins shape border
borders ill-defined well-defined high low equal fat-containing density dense scattered fibroglandular
heterogeneously extremely almost entirely fatty composition parenchyma amorphous coarse heterogeneous fine
pleomorphic linear branching popcorn popcorn-like rim punctate dystrophic milk of calcium grouped clustered cluster
regional segmental diffuse skin thickening nipple retraction lymph node nodes adenopathy vascular implant scar
surgical clip biopsy mm cm measuring measures size approximately birads assessment category negative benign probably
suspicious suspected highly suggestive malignancy malignant known incomplete recommend recommended follow-up
short-term routine screening mammogram mammography comparison prior examination technique no not without evidence
there is are seen noted present absent identified demonstrated visible free unremarkable normal abnormality
abnormalities finding findings impression conclusion stable unchanged new increased decreased both bilateral with
and or in the a an at mamma borst borsten massa massa's laesie haard nodus microkalk microcalcificaties
calcificaties verkalking verkalkingen architectuurverstoring verstoring asymmetrie rond ovaal onregelmatig scherp
onscherp begrensd begrensde gespiculeerd gespiculeerde kwadrant boven onder binnen buiten bovenste onderste laterale
mediale craniale caudale centraal retromamillair oksel diepte voorste achterste middelste uur dicht klierweefsel
vetrijk vet dens geen niet zonder er zijn wordt worden gezien zichtbaar aanwezig afwezig normaal normale afwijkingen
bijzonderheden verdacht verdachte goedaardig kwaadaardig conclusie groepje gegroepeerd gegroepeerde segmentaal
lineair grillig fijn grof amorf met van de het een en chest frontal lateral heart cardiac mediastinum mediastinal
lung lungs lobe pleural effusion effusions pneumothorax consolidation opacity opacities atelectasis edema
cardiomegaly emphysema granuloma fracture spine ribs clear
"""

FINDINGS: dict[str, tuple[str, ...]] = {
    "mass": (
        r"mass(?:es)?",
        r"nodules?",
        r"nodular",
        r"lesions?",
        r"lumps?",
        r"tumou?rs?",
        r"cysts?",
        r"fibroadenomas?",
        r"massa's",
        r"massas?",
        r"haard(?:en)?",
        r"laesies?",
        r"nodus",
        r"noduli",
        r"cysten?",
        r"tumoren",
    ),
    "calcification": (
        r"(?:micro|macro)?-?calcifications?",
        r"calcified",
        r"calcific",
        r"calcium",
        r"specks",
        r"(?:micro|macro)?-?calcificaties?",
        r"(?:micro|macro)?-?kalk\w*",
        r"verkalking(?:en)?",
    ),
    "distortion": (
        r"distortions?",
        r"distorted",
        r"radial scars?",
        r"architectu\w+ver(?:storing|vorming)(?:en)?",
        r"verstoring(?:en)?",
        r"verstoorde?",
        r"distorsies?",
    ),
    "asymmetry": (r"asymmetr(?:y|ies|ic|ical)", r"\w*asymmetrie(?:en)?", r"asymmetrisch\w*"),
    "lymph node": (r"lymph nodes?", r"adenopathy", r"lymphadenopathy", r"lymfeklier(?:en)?", r"lymfadenopathie"),
    "retraction": (r"retractions?", r"retracted", r"retracties?", r"ingetrokken"),
    "skin thickening": (r"skin thickening", r"thickened skin", r"huidverdikking(?:en)?"),
    "cardiomegaly": (
        r"cardiomegaly",
        r"enlarged heart",
        r"enlarged cardiac",
        r"cardiac enlargement",
        r"(?:heart|silhouette) is enlarged",
        r"cardiomegalie",
    ),
    "effusion": (r"effusions?", r"pleural fluid", r"pleuravocht"),
    "pneumothorax": (r"pneumothora(?:x|ces)",),
    "consolidation": (
        r"consolidations?",
        r"infiltrat\w+",
        r"pneumonia",
        r"opacit(?:y|ies)",
        r"airspace disease",
        r"consolidaties?",
    ),
    "atelectasis": (r"atelecta\w+",),
    "edema": (r"o?edema", r"vascular congestion", r"oedeem"),
    "emphysema": (r"emphysema\w*", r"copd", r"hyperinflat\w+", r"emfyseem"),
    "fracture": (r"fractures?", r"fractuur", r"fracturen"),
}
"""Regular expressions of a finding's names, on normalised text."""

NORMAL: tuple[str, ...] = (
    r"unremarkable",
    r"normal",
    r"within normal limits",
    r"negative",
    r"benign appearing only",
    r"is clear",
    r"are clear",
    r"(?:no|without) (?:\w+ ){0,3}?(?:abnormalit(?:y|ies)|findings?|disease)",
    r"(?:geen|zonder) (?:\w+ ){0,3}?(?:afwijking(?:en)?|bijzonderheden)",
    r"normaal",
    r"normale",
    r"onopvallende?",
    r"nothing of note",
    r"nothing suspicious",
    r"niets verdachts",
    r"niet afwijkend",
)
"""Ways to say that a side is normal: a statement of its own, whatever denial it contains."""

PARTS: tuple[str, ...] = (
    r"heart",
    r"cardiac",
    r"cardio\w+",
    r"mediastin\w+",
    r"lungs?",
    r"pulmonary",
    r"bon(?:es?|y)",
    r"osseous",
    r"spine",
    r"aort\w+",
    r"hil(?:um|a|ar)",
    r"diaphragm\w*",
    r"skin",
    r"nipples?",
    r"axill\w+",
    r"huid",
    r"tepels?",
    r"oksels?",
)
"""What may be normal by itself, which says nothing of the rest."""

DENIALS_BEFORE: tuple[str, ...] = (
    r"no",
    r"not",
    r"without",
    r"free of",
    r"negative for",
    r"absence of",
    r"(?<!is )(?<!are )(?<!was )(?<!were )absent",
    r"neither",
    r"nor",
    r"never",
    r"lacks?",
    r"rules? out",
    r"excludes?",
    r"devoid of",
    r"geen",
    r"zonder",
    r"niet",
    r"noch",
    r"vrij van",
)
"""Words that deny what follows in the same clause."""

DENIALS_AFTER: tuple[str, ...] = (
    r"(?:is|are|was|were) not",
    r"(?:is|are|was|were) absent",
    r"(?:is|are|was|were) excluded",
    r"absent",
    r"not seen",
    r"not identified",
    r"not present",
    r"not evident",
    r"not visible",
    r"excluded",
    r"ruled out",
    r"none",
    r"(?:is|zijn) niet",
    r"niet (?:aanwezig|zichtbaar|gezien|aangetoond|te zien)",
    r"afwezig",
    r"ontbre(?:ekt|ken)",
    r"(?:worden|wordt|werd|werden) niet",
    r"uitgesloten",
)
"""Words that deny what precedes them in the same clause."""

GONE: tuple[str, ...] = (
    r"no longer (?:seen|identified|present|evident|visible|noted|demonstrated|appreciated)",
    r"niet meer (?:aantoonbaar|aanwezig|gezien|zichtbaar|te zien)",
)
"""Words that deny now what precedes them in the same clause, whatever was seen before."""

NO_DENIALS: tuple[str, ...] = (
    r"no (?:significant |interval )*(?:change|increase|decrease|growth)",
    r"not only",
    r"no longer just",
    r"cannot be excluded",
    r"can not be excluded",
    r"cannot exclude",
    r"not excluded",
    r"not ruled out",
    r"niet uit te sluiten",
    r"niet uitgesloten",
    r"geen verandering",
    r"niet alleen",
    r"without change",
)
"""Phrases that look like denials and are none."""

SCOPE_ENDS: tuple[str, ...] = (
    r"but",
    r"however",
    r"although",
    r"though",
    r"except",
    r"apart from",
    r"other than",
    r"whereas",
    r"while",
    r"yet",
    r"maar",
    r"echter",
    r"behalve",
    r"terwijl",
    r"wel",
    r"hoewel",
    r"there (?:is|are)",
    r"er (?:is|zijn)",
)
"""Words that end a clause, with whatever was denied in it."""

TERMS: tuple[str, ...] = tuple(_TERMS.split())
"""Words of radiology that a tokenizer should know whether or not they occur in what it is trained on."""
