"""NUS-WIDE: images from flickr.com, here with their 21 most frequent concepts (Chua et al., CIVR 2009)."""

from hashbench.datasets.list_files import Origin, list_dataset

nuswide = list_dataset(
    Origin(
        name="nuswide",
        images="NUS-WIDE (Chua et al., National University of Singapore; a copy is linked in the README of the "
        "repository swuxyj/DeepHash-pytorch), unpacked as images/",
        lists="the folder data/NUS-WIDE of the repository xunguangwang/ProS-GAN, or its authors where it has none",
        classes=21,
        sizes={"database": 193734, "train": 10500, "test": 2100},
    ),
    "NUS-WIDE, 21 concepts, in the split of CgAT and SAAT: 2,100 queries, 10,500 train, 193,734 database.",
    paper="Chua et al., CIVR 2009; split of Wang et al. (ProS-GAN), CVPR 2021",
)
