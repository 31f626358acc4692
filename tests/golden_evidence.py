"""Six opinions on two classes, with values measured on the code of Ren et al. (KarryRen/UML) in float64."""

import torch

RAW = torch.tensor(
    [
        [-4.1635286065, -2.6879213599],
        [-3.2351788252, 1.8080664798],
        [-4.3264536922, -2.3503059288],
        [-1.5291764748, 1.3918785992],
        [-3.1439530896, 5.2505106600],
        [2.7022169238, -3.8747090849],
    ],
    dtype=torch.float64,
)
EVIDENCE = torch.tensor(
    [
        [0.0154328802, 0.0658085139],
        [0.0385985648, 1.9599038043],
        [0.0131277790, 0.0910648087],
        [0.1961538343, 1.6139077948],
        [0.0422085862, 5.2557417931],
        [2.7671210234, 0.0205478167],
    ],
    dtype=torch.float64,
)
LABEL = torch.tensor([0, 1, 1, 0, 1, 0])


def close(actual: torch.Tensor, expected: object) -> None:
    """Compare with numbers that are printed with ten digits."""
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-7, atol=2e-10)
