"""What `scroll-ensemble` can do, in the order in which one comes to it: group -> name -> (module with `main`, what it does)."""

COMMANDS = {
    "look": {
        "demo": ("ensemble.commands.demo", "the whole pipeline on a phantom: training, prediction, score, report"),
        "make-phantom": ("ensemble.commands.make_phantom", "draw a synthetic scroll whose answers are known"),
        "preview": ("ensemble.commands.preview", "training patches as the networks see them, augmented"),
        "catalogue": ("ensemble.commands.catalogue", "published scrolls by name: list, show, add to train on"),
        "neuroglancer": ("ensemble.commands.neuroglancer", "serve volumes to Neuroglancer and print the link"),
        "napari-view": ("ensemble.commands.napari_view", "open volumes as layers of napari"),
    },
    "plan": {
        "doctor": ("ensemble.commands.doctor", "look for what would go wrong: data, labels, folds, disk"),
        "plan": ("ensemble.commands.plan", "which patch, batch and workers suit a GPU, and how long that takes"),
        "tune": ("ensemble.commands.tune", "measure which batch and workers suit this machine"),
    },
    "train": {
        "pool-volume": ("ensemble.commands.pool_volume", "a stack of larger voxels, made once, with its labels"),
        "import-member": ("ensemble.commands.import_member", "take somebody else's network or predictions as a member"),
        "export-dataset": ("ensemble.commands.export_dataset", "training data as an nnU-Net raw data set, for others"),
        "check": ("ensemble.check", "whether the settings of all steps are sound"),
        "stage1": ("stage1_3d.train", "train the 3D networks on every fold, predict out of fold"),
        "stage2": ("stage2_2d.train", "train the 2D network on what stage one says"),
        "end-to-end": ("ensemble.end_to_end.train", "train a member and stage two on, end to end"),
        "joint": ("ensemble.end_to_end.train", "now end-to-end"),
        "label-round": (
            "ensemble.commands.label_round",
            "propose labels, ask a person where it teaches most, train again",
        ),
        "calibrate": ("ensemble.calibrate", "fit the ensemble's weights and thresholds"),
    },
    "predict": {
        "export-member": (
            "ensemble.commands.export_member",
            "a trained member as safetensors or ONNX with a card, for others",
        ),
        "preflight": ("ensemble.commands.preflight", "now audit --look: whether layers lie as in training"),
        "predict": ("ensemble.predict", "predict, and write the submission and the report"),
        "flatten": ("ensemble.commands.flatten", "flatten a scroll and its predictions along a traced surface"),
        "kaggle-bundle": ("ensemble.commands.kaggle_bundle", "a run as a folder for Kaggle, with wheels and notebook"),
    },
    "score": {
        "score": ("ensemble.commands.score", "the leaderboard's score of surface predictions, and an atlas of errors"),
        "score-cubes": ("ensemble.commands.score_cubes", "that score of a run's out-of-fold predictions"),
        "validate": ("ensemble.commands.validate", "whether a submission will be graded"),
        "compare": ("ensemble.commands.compare", "what helps, over several seeds, on held-out data"),
        "audit": ("ensemble.commands.audit", "is it ink: copies without ink, planted ink, direction, depth, agreement"),
        "placebo": ("ensemble.commands.placebo", "now audit"),
    },
    "review": {
        "status": ("ensemble.commands.status", "what of a run is finished, and whether it is whole"),
        "replay": ("ensemble.commands.replay", "predict a part again from its receipt and compare"),
        "whence": ("ensemble.commands.whence", "where a TIFF or PNG comes from, by the record in it"),
        "montage": ("ensemble.commands.montage", "one wide picture of a finished run"),
        "merged-sheets": ("ensemble.commands.merged_sheets", "how many touching sheets a run tells apart"),
    },
    "scale": {
        "predict-scroll": ("ensemble.commands.predict_scroll", "predict a whole scroll in shards, killed and resumed"),
        "scroll-status": ("ensemble.commands.scroll_status", "how far such a prediction is, and whether it is whole"),
    },
}
