"""FLICKR-25K: 25,000 images from flickr.com with 38 concepts (Huiskes and Lew, MIR 2008)."""

from hashbench.datasets.list_files import Origin, list_dataset

flickr25k = list_dataset(
    Origin(
        name="flickr25k",
        images="mirflickr25k.zip of MIRFLICKR (Huiskes and Lew, LIACS, Leiden University), unpacked as mirflickr/",
        lists="the folder data/FLICKR-25K of the repository xunguangwang/ProS-GAN",
        classes=38,
        sizes={"database": 23300, "train": 5000, "test": 1700},
    ),
    "FLICKR-25K in the split of CgAT and SAAT: 1,700 queries, 23,300 database, 5,000 lines of it train.",
    paper="Huiskes and Lew, MIR 2008; split of Wang et al. (ProS-GAN), CVPR 2021",
)
