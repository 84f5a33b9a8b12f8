#!/bin/sh
# More ways to look for what an image must not have handed on, for the instance
# that proves it; appended to verify.sh, whose functions it uses.

# own_id ID: the machine id is there, and is not the builder's.
own_id() {
	id=$(cat /etc/machine-id)
	if [ -z "$id" ] || [ "$id" = "$1" ]; then survived 'machine id of the builder' /etc/machine-id; fi
}

# lacks WHAT TEXT PATTERN: no file that matches holds the text.
lacks() {
	TEXT=$2
	each "$1" "$3" lacks_
}
lacks_() { if grep -qsF -e "$TEXT" -- "$2"; then survived "$1" "$2"; fi; }

# only WHAT TEXT PATTERN: every line of every file that matches holds the text,
# but for blank ones and comments.
only() {
	TEXT=$2
	each "$1" "$3" only_
}
only_() { if grep -vsF -e "$TEXT" -- "$2" | grep -qv -e '^[[:space:]]*$' -e '^#'; then survived "$1" "$2"; fi; }
