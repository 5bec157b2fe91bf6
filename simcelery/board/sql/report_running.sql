SELECT report_running(%(reports)s)
