#!/usr/bin/env python3
"""Writes cel-spec.json and left-out.json from the public conformance cases of CEL. See README.md.

    go mod download -json cel.dev/expr@VERSION     # prints the folder of the module
    tests/conformance/convert.py FOLDER
"""

import collections
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent

# ---- protobuf's text format, as far as the cases use it ----------------------------------------------------------

TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[-+]?[A-Za-z0-9_.+-]+)|(?P<mark>[{}<>\[\]:,;/])"""
)


def tokens(text):
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise SystemExit(f"cannot read {text[at:at + 40]!r}")
        at = match.end()
        if match.lastgroup:
            yield match.lastgroup, match.group(match.lastgroup)
    yield "end", ""


def unescape(quoted):
    """The bytes of a quoted string."""
    body, out, at = quoted[1:-1], bytearray(), 0
    simple = dict(zip("abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?"))
    while at < len(body):
        char = body[at]
        if char != "\\":
            out += char.encode()
            at += 1
            continue
        rest = body[at + 1:]
        if match := re.match(r"[0-7]{1,3}", rest):
            out.append(int(match.group(), 8))
        elif match := re.match(r"[xX]([0-9a-fA-F]{1,2})", rest):
            out.append(int(match.group(1), 16))
        elif match := re.match(r"u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})", rest):
            out += chr(int(match.group(1) or match.group(2), 16)).encode()
        else:
            match = re.match(".", rest)
            out.append(simple[match.group()])
        at += 1 + match.end()
    return bytes(out)


class Parser:
    def __init__(self, text):
        self.tokens = list(tokens(text))
        self.at = 0

    def peek(self):
        return self.tokens[self.at][1]

    def take(self):
        token = self.tokens[self.at]
        self.at += 1
        return token

    def skip(self, *marks):
        if self.tokens[self.at][0] == "mark" and self.peek() in marks:
            self.at += 1
            return True
        return False

    def message(self, end=None):
        """A message: each field with the list of its values."""
        fields = collections.OrderedDict()
        while self.peek() != end and self.tokens[self.at][0] != "end":
            if self.skip("["):
                name = ""
                while not self.skip("]"):
                    name += self.take()[1]
                name = f"[{name}]"
            else:
                name = self.take()[1]
            self.skip(":")
            if self.skip("["):
                while not self.skip("]"):
                    fields.setdefault(name, []).append(self.value())
                    self.skip(",")
            else:
                fields.setdefault(name, []).append(self.value())
            self.skip(",", ";")
        return fields

    def value(self):
        for begin, end in ("{}", "<>"):
            if self.skip(begin):
                inner = self.message(end)
                if not self.skip(end):
                    raise SystemExit(f"{end} is missing")
                return inner
        kind, text = self.take()
        if kind != "string":
            return text
        value = unescape(text)
        while self.tokens[self.at][0] == "string":
            value += unescape(self.take()[1])
        return value


def text(fields, name):
    return fields[name][-1].decode() if name in fields else ""


# ---- values as CEL writes them -----------------------------------------------------------------------------------

class LeftOut(Exception):
    """Why a case is not for us."""


MESSAGE = "needs a protobuf message or enumeration"


def quote(value):
    out = ""
    for char in value:
        code = ord(char)
        if char in "\\'":
            out += "\\" + char
        elif 32 <= code < 127:
            out += char
        else:
            out += f"\\U{code:08x}"
    return f"'{out}'"


def literal(value):
    """A `Value` as a CEL expression."""
    (kind, (content, *_)), = value.items()
    match kind:
        case "null_value":
            return "null"
        case "bool_value" | "int64_value":
            return content
        case "uint64_value":
            return content + "u"
        case "double_value":
            number = float(content)
            if number != number:
                return "double('NaN')"
            if number in (float("inf"), float("-inf")):
                return f"double('{number}')"
            return repr(number)
        case "string_value":
            return quote(content.decode())
        case "bytes_value":
            return "b'" + "".join(f"\\x{byte:02x}" for byte in content) + "'"
        case "list_value":
            return "[" + ", ".join(literal(item) for item in content.get("values", [])) + "]"
        case "map_value":
            entries = content.get("entries", [])
            return "{" + ", ".join(f"{literal(e['key'][0])}: {literal(e['value'][0])}" for e in entries) + "}"
        case "type_value":
            return typename(content.decode())
        case "object_value":
            (kind, (content, *_)), = content.items()
            seconds = content.get("seconds", ["0"])[0]
            nanos = int(content.get("nanos", ["0"])[0])
            if kind.endswith("google.protobuf.Timestamp]"):
                return f"(timestamp({seconds}) + duration('{nanos}ns'))"
            if kind.endswith("google.protobuf.Duration]"):
                return f"(duration('{seconds}s') + duration('{nanos}ns'))"
    raise LeftOut(MESSAGE)


def typename(name):
    if name.startswith("cel.expr.conformance."):
        raise LeftOut(MESSAGE)
    return name


# ---- cases -------------------------------------------------------------------------------------------------------

FILES_LEFT_OUT = {
    "block_ext": "is about cel.block, which optimizers write and no user does",
    "enums": MESSAGE,
    "proto2": MESSAGE,
    "proto2_ext": MESSAGE,
    "proto3": MESSAGE,
}


def convert(file, section, test):
    if file in FILES_LEFT_OUT:
        raise LeftOut(FILES_LEFT_OUT[file])
    expression = text(test, "expr")
    if re.search(r"TestAllTypes|NestedTestAllTypes|cel\.expr\.conformance|google\.protobuf\.\w+\s*\{", expression):
        raise LeftOut(MESSAGE)
    if re.search(r"google\.protobuf\.(?!Timestamp|Duration)", expression):
        raise LeftOut(MESSAGE)
    if "check_only" in test:
        raise LeftOut("asks for the type that is deduced, not for a value")
    if "disable_macros" in test:
        raise LeftOut("turns macros off")
    bindings = {}
    for entry in test.get("bindings", []):
        name = text(entry, "key")
        (kind, (value, *_)), = entry["value"][0].items()
        if kind != "value":
            raise LeftOut("binds an error or an unknown value")
        bindings[name] = literal(value)
    if any("." in name for name in bindings):
        raise LeftOut("binds a name with dots, or resolves names in a container")
    for declared in test.get("type_env", []):
        if "function" in declared:
            raise LeftOut("declares a function of its own")
        if text(declared, "name") not in bindings:
            raise LeftOut("declares a variable that has no value")
    if text(test, "container") and text(test, "container") not in ("cel.expr.conformance.proto2", "cel.expr.conformance.proto3"):
        raise LeftOut("binds a name with dots, or resolves names in a container")
    case = {"file": file, "section": section, "name": text(test, "name"), "expr": expression}
    if bindings:
        case["bindings"] = bindings
    if "disable_check" in test and test["disable_check"][0] == "true":
        case["unchecked"] = True
    if "value" in test:
        case["value"] = literal(test["value"][0])
    elif "typed_result" in test:
        result = test["typed_result"][0]
        if "result" not in result:
            raise LeftOut("asks for the type that is deduced, not for a value")
        case["value"] = literal(result["result"][0])
    elif "eval_error" in test or "any_eval_errors" in test:
        error = (test.get("eval_error") or test["any_eval_errors"][0]["errors"])[0]
        case["error"] = text(error["errors"][0], "message")
    elif any("unknown" in name for name in test):
        raise LeftOut("binds an error or an unknown value")
    else:
        case["value"] = "true"
    return case


def main():
    source = pathlib.Path(sys.argv[1])
    cases, left_out = [], collections.defaultdict(collections.Counter)
    names = collections.Counter()
    for path in sorted((source / "tests/simple/testdata").glob("*.textproto")):
        file = Parser(path.read_text()).message()
        for section in file.get("section", []):
            for test in section.get("test", []):
                try:
                    case = convert(path.stem, text(section, "name"), test)
                    key = (case["file"], case["section"], case["name"])
                    names[key] += 1
                    if names[key] > 1:
                        case["name"] += f" ({names[key]})"
                    cases.append(case)
                except LeftOut as reason:
                    left_out[str(reason)][path.stem] += 1
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    (HERE / "cel-spec.json").write_text(f"[\n{lines}\n]\n")
    counted = {reason: {"cases": sum(files.values()), "files": dict(files)} for reason, files in sorted(left_out.items())}
    (HERE / "left-out.json").write_text(json.dumps(counted, indent=1) + "\n")
    print(f"{len(cases)} cases kept, {sum(c['cases'] for c in counted.values())} left out")


main()
