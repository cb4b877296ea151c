"""The `post-receive` script for a plain Git server: it tells the panel of each push, signed."""

from __future__ import annotations

from shlex import quote
from urllib.parse import quote as url_quote

SCRIPT = r"""#!/bin/sh
# Tells Deploypanel of each push to {name}.
#
#   1. On the Git server, put this file into the repository's folder as hooks/post-receive
#      and make it executable: chmod +x hooks/post-receive
#   2. Put the webhook secret of {name} into hooks/deploypanel.secret, for the Git user alone:
#      chmod 600 hooks/deploypanel.secret
#
# It needs curl, and perl or openssl. It never makes a push fail.
url={url}
repository={repository}
secret_file="${{DEPLOYPANEL_SECRET_FILE:-$(dirname "$0")/deploypanel.secret}}"

if ! [ -r "$secret_file" ]; then
    echo "Deploypanel: $secret_file cannot be read; nothing was told." >&2
    exit 0
fi

# The secret goes from the file into the signature; no list of processes ever shows it.
signature() {{
    if command -v perl >/dev/null 2>&1; then
        perl -MDigest::SHA=hmac_sha256_hex -e '
            open my $file, "<", $ARGV[0] or exit 1; my $key = <$file>; $key =~ s/\s+\z//;
            local $/; my $body = <STDIN>; print hmac_sha256_hex($body, $key);' "$secret_file"
    else
        openssl dgst -sha256 -hmac "$(cat "$secret_file")" | sed 's/^.* //'
    fi
}}

escaped() {{
    printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g' | tr -d '\000-\037'
}}

while read -r before after ref; do
    body=$(printf '{{"repository":"%s","ref":"%s","before":"%s","after":"%s","pusher":"%s","at":"%s"}}' \
        "$repository" "$(escaped "$ref")" "$before" "$after" \
        "$(escaped "${{GL_USER:-${{REMOTE_USER:-$(id -un)}}}}")" "$(date +%s).$$")
    answer=$(printf '%s' "$body" | curl --silent --show-error --max-time 10 --data-binary @- \
        --header 'Content-Type: application/json' --header 'Accept: text/plain' \
        --header "X-Deploypanel-Signature: sha256=$(printf '%s' "$body" | signature)" "$url" 2>&1) || true
    if [ -n "$answer" ]; then
        printf '%s\n' "$answer" | sed 's/^/Deploypanel: /'
    fi
done
exit 0
"""


def post_receive_script(name: str, public_url: str) -> str:
    """The script for the repository that the panel calls `name`. It holds no secret."""
    url = f"{public_url.rstrip('/')}/hooks/git?repository={url_quote(name, safe='')}"
    return SCRIPT.format(name=name, url=quote(url), repository=quote(name))
