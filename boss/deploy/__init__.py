"""From an account at a cloud to a running deployment, and back: what `admin.py deploy`, `teardown` and `templates` do.

`record` is what is known of a deployment on the machine that made it, `listed` what the cloud lists of it, `made` the
boss's machine, `remote` a login there, `install` what is put there, `settings_text` with which settings; `deploying`
and `teardown` put these in order. `templates` are for the admin of the cloud. Each step may be the last one of a
process: the next one finds what is there by its mark, and goes on.
"""
