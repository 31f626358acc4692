def write_report(run_dir): pass
