"""The lists behind the filter: media groups by extension, and the names that are never somebody's work.

In: nothing. Out: constants for `filters`, for the reference of the configuration and for its JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_IMAGE = _words(
    # What browsers show, and what cameras and scanners write.
    "jpg jpeg jpe jfif png apng gif webp avif avifs heic heif hif jxl jp2 j2k jpf jpx jpm bmp dib tif tiff svg svgz",
    # Icons, and work files of photo desks and studios.
    "ico psd psb ai eps xcf kra exr hdr tga dpx pcx pbm pgm ppm pnm pam qoi dcm",
    # Raw formats by maker: Canon, Nikon, Sony, Fujifilm, Olympus, Panasonic/Leica, Pentax, Samsung, Sigma, Hasselblad,
    # Phase One, Mamiya, Leaf, Epson, Kodak, Minolta, Casio, GoPro; DNG is Adobe's for all (RED is video).
    "crw cr2 cr3 nef nrw arw srf sr2 raf orf ori rw2 rwl raw pef ptx srw x3f 3fr fff iiq mef mos erf dcr kdc k25 mrw",
    "bay gpr dng",
    # Sidecars: a photo desk's captions and edits travel with the pictures.
    "xmp",
)
_VIDEO = _words(
    "mp4 m4v mov qt mkv webm avi wmv asf flv f4v mpg mpeg mpe m1v m2v mpv m2p vob ogv ogm 3gp 3g2 divx dv dif",
    # Broadcast and camera formats; ts is a transport stream here, never TypeScript.
    "mxf gxf lxf ts mts m2ts m2t tp trp tod mod r3d braw ari h264 h265 hevc av1 ivf y4m",
    # Subtitles travel with the film.
    "srt vtt ass ssa stl sub ttml dfxp scc",
)
_AUDIO = _words(
    "wav wave bwf rf64 w64 aif aiff aifc flac alac ape wv tta tak shn mp3 mp2 mpa m4a m4b m4r aac ogg oga opus spx wma",
    "ac3 eac3 ec3 dts dtshd thd mka weba amr awb au snd caf dsf dff mid midi ra",
)
# Not here on purpose: key (Keynote, but private keys too), pub, log, and endings that are mere numbers.
_DOCUMENT = _words(
    "pdf doc docx docm dot dotx dotm odt ott fodt rtf pages wpd wps txt text md markdown rst adoc asciidoc tex htm",
    "html xhtml mht mhtml epub mobi azw azw3 djvu djv ps xps oxps ppt pptx pptm pps ppsx pot potx odp otp indd idml",
    "odg vsd vsdx",
)
_SPREADSHEET = _words(
    "xlsx xls xlsm xlsb xlt xltx xltm ods ots fods csv tsv tab numbers gnumeric wk1 wk3 wk4 slk sylk dbf",
    "parquet sav px",
)

GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "@image": _IMAGE,
        "@video": _VIDEO,
        "@audio": _AUDIO,
        "@document": _DOCUMENT,
        "@spreadsheet": _SPREADSHEET,
        "@media": _IMAGE | _VIDEO | _AUDIO | _DOCUMENT | _SPREADSHEET,
    }
)
"""Group name → extensions, lower case, without the dot. A group matches files, never directories."""

BUILT_IN_EXCLUDE: tuple[str, ...] = (
    # Desktops and file managers.
    ".DS_Store",
    "._*",
    ".AppleDouble/",
    ".LSOverride",
    ".Spotlight-V100/",
    ".Trashes/",
    ".fseventsd/",
    ".TemporaryItems/",
    ".DocumentRevisions-V100/",
    ".AppleDB/",
    ".AppleDesktop/",
    ".apdisk",
    # A folder's own icon, and the same as macOS names it on a share that takes no control characters.
    "Icon\r",
    "Icon\uf00d",
    "Thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    ".directory",
    ".Trash/",
    ".Trash-*/",
    # Shares: the waste baskets of Samba (vfs_recycle), Unraid and netatalk, Synology, QNAP, and what is left of files
    # that were deleted while they were open: by NFS, FUSE, and Macs over SMB and AFP. What Windows notes in a stream of
    # a file is one of its own where there are none, or below .streams (vfs_streams_depot).
    ".recycle/",
    ".Recycle.Bin/",
    "Network Trash Folder/",
    "Temporary Items/",
    "@eaDir/",
    "#recycle/",
    "@Recycle/",
    "#snapshot/",
    "@Recently-Snapshot/",
    ".@__thumb/",
    ".nfs*",
    ".fuse_hidden*",
    ".smbdelete*",
    ".afpDeleted*",
    ".streams/",
    "*:Zone.Identifier",
    # File systems and their snapshots.
    "lost+found/",
    ".snapshot/",
    ".snapshots/",
    ".zfs/",
    # Unfinished downloads and transfers: browsers, FTP clients, our own temporary name at a receiving end. lftp has
    # .in.NAME (`xfer:use-temp-file`), and proftpd .in.NAME. (`HiddenStores`). yt-dlp keeps fragments as
    # NAME.part-FragN, and how far it is in NAME.ytdl; MEGA receives .getxfer.PID.N.mega.
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.filepart",
    "*.aria2",
    "*.!ut",
    "*.!qB",
    "*.lftp-pget-status",
    "*.part-Frag*",
    "*.ytdl",
    ".getxfer.*.mega",
    ".in.*",
    ".pureftpd-upload.*",
    ".pureftpd-rename.*",
    # Editors and office programs. Those of Macs save into a file or a folder NAME.sb-XXXXXXXX-XXXXXX, or into a folder
    # that says so; *.idlk lies beside what is open in InDesign, and ExifTool writes NAME.jpg_exiftool_tmp.
    "*.tmp",
    "*.temp",
    "*.swp",
    "*.swo",
    "*.swx",
    "4913",
    "*~",
    "~$*",
    ".~lock.*#",
    ".#*",
    "#*#",
    ".goutputstream-*",
    ".sb-*",
    "*.sb-????????-??????",
    "(A Document Being Saved By *)/",
    "*.idlk",
    "*_exiftool_tmp",
    ".~*",
    # Synchronisers: rsync writes .NAME.XXXXXX.
    ".*.[a-z0-9][a-z0-9][a-z0-9][a-z0-9][a-z0-9][a-z0-9]",
    ".rsync-partial/",
    ".~tmp~/",
    ".syncthing.*.tmp",
    "~syncthing~*",
    ".stfolder/",
    ".stversions/",
    # Resilio and GoodSync keep in the folder itself what was deleted or replaced elsewhere.
    ".sync/",
    "*.!sync",
    "_gsdata_/",
    # FreeFileSync writes NAME.XXXX.ffs_tmp, and keeps a lock and a database in the folder itself.
    "*.ffs_tmp",
    "*.ffs_lock",
    "*.ffs_db",
    ".dropbox",
    ".dropbox.cache/",
    # Nextcloud and ownCloud receive .NAME.~XXXXXXXX.
    ".*.~*",
    ".owncloudsync.log",
    ".sync_*.db",
    ".SynologyWorkingDirectory/",
    ".tmp.drivedownload/",
    ".tmp.driveupload/",
    # Version control.
    ".git/",
    ".svn/",
    ".hg/",
    ".bzr/",
)
"""Temporary and system names, matched at any depth without regard to case; one component each, `/` ends a directory.

A mapping's own ``exclude`` comes after this list, so that ``!keep.tmp`` there takes a name out of it.
CVS/ is missing on purpose: a folder of CVs must not vanish.
"""
