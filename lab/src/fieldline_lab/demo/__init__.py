"""`fieldline demo`: boots a site, shows what flows, and judges at the end if all of it arrived."""
