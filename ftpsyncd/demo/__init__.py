"""The demo: the main job with nothing to configure and no network.

`stage.Demo` puts an FTP server on a free loopback port (`server`), a drop folder and a real daemon side by side. A
`story` drops pictures (`pictures`) and changes them as people do; a `witness` looks at the server's folder every few
milliseconds and keeps what it saw; `record` is what all of them know. The command line shows it.
"""
