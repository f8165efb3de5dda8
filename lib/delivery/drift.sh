#!/bin/sh
# The answer for a plan, as Terraform's data source `external` wants it: a JSON object of strings. This text follows that
# of ask.sh.

# What the machine says is data. Other characters than those of printable ASCII could be commands for a terminal.
found() {
  tr -d '\r' | LC_ALL=C tr -c ' -~\n' '?' |
    sed -e 's/^source-routing: //' -e '/ differences from generation /d' -e '/^packets asked about/d' -e '/^ *$/d' \
      -e 's/^+ /missing: /' -e 's/^- /in the way: /' -e 's/^! /not as expected: /' \
      -e 's/\(.\{300\}\).*/\1.../' -e 's/[\\"]/\\&/g' |
    awk 'NR <= 5 { text = text (NR > 1 ? "; " : "") $0 } END { print text (NR > 5 ? "; and " NR - 5 " more" : "") }'
}

code=0
said=$(ask "$@") || code=$?
case $code in
  0) state='as declared' said= ;;
  1)
    state=differs
    # Somebody else's rule or firewall: an apply mends nothing, and would come back in each plan.
    case $said in *'To mend: see "ip rule"'* | *'To mend: change what the lines name'*) state=blocked ;; esac
    ;;
  *) state='not asked' ;;
esac
printf '{"state":"%s","found":"%s"}\n' "$state" "$(printf '%s\n' "$said" | found)"
