"""Scripts that the pages name and that take long: where they are run small."""

#: Scripts that take long -> where they are run small.
RUN_ELSEWHERE = {
    "benchmark.py": "tests/tools/test_benchmark.py",
    "gpu_budget.py": "tests/tools/test_gpu_budget.py",
    "verify_gpu.py": "tests/tools/test_verify_gpu.py",
    "train_net.py": "tests/integrations/detectron2/test_tools.py",
    "demo_detectron2.py": "tests/integrations/detectron2/test_tools.py",
    "fuzz.py": "tests/fuzz/test_fuzz.py",
    "train_on_coco_files.py": "tests/docs/test_examples.py",
    "mask2former_to_partpq.py": "tests/docs/test_examples.py",
    "mask2former_trainer.py": "tests/docs/test_examples.py",
    "two_processes.py": "tests/docs/test_examples.py",
}
