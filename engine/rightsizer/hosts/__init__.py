"""Where servers are started: a host starts one, and owns everything it started."""
