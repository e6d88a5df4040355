"""The house rules that a program can check.  tests/tidy_test.py runs them.

A rule takes a path (relative to the repository, with "/") and the text of the file and returns a
list of (line, message).  It knows nothing of the file system, so that it can be tried on a string.
"""

import ast
import re

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

CPP_STANDARD = set("""
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono
cinttypes climits clocale cmath codecvt compare complex concepts condition_variable coroutine
csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque
exception execution filesystem format forward_list fstream functional future initializer_list
iomanip ios iosfwd iostream istream iterator latch limits list locale map memory memory_resource
mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string
string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo
unordered_map unordered_set utility valarray variant vector version
""".split())
C_STANDARD = {f"{name}.h" for name in "assert ctype errno float inttypes limits math stdarg "
              "stdbool stddef stdint stdio stdlib string time".split()}

PRODUCT = r"(lib|daemon|cli|python|examples)/"
# (where the rule holds, what may not be included there, the files it may be in, why)
LAYERS = [
    (r"lib/shm/", r"(capnp|kj|schema|record|client|store)/", None, "shm knows no Cap'n Proto"),
    (r"lib/record/", r"(client|store)/", None, "record is below client and store"),
    (r"lib/client/", r"(store|leveldb)/", None, "the user's side knows no store"),
    (r"lib/store/", r"(client|formats)/", None, "the store knows no client and no export format"),
    (r"lib/formats/", r"(client|reader)/", None, "a format is made from the store"),
    (r"lib/(shm|record|client|store)/", r"reader/", None, "the public reader is above the layers"),
    (r"lib/", r"(daemon|cli)/", None, "lib knows no daemon and no command line"),
    (r"daemon/", r"cli/", None, "the service knows no command line"),
    (r"cli/", r"daemon/", None, "the command line talks to the service, it holds none of it"),
    (PRODUCT, r"leveldb/", r"lib/store/", "LevelDB stays in lib/store"),
    (PRODUCT, r"curl/", r"daemon/sinks/http_transport\.", "curl stays in the HTTP transport"),
    (PRODUCT, r"kj/(async|compat/http|timer)",
     r"daemon/(server(_reply|_connection)?\.|control_loop\.|main\.cc|web_[a-z_]*\.)",
     "KJ async stays in the control server and the web page"),
    (PRODUCT, r"(google/protobuf|zlib\.)", r"lib/formats/",
     "what other tools' formats need stays in lib/formats"),
    (PRODUCT, r"isa-l/", r"(lib/formats/|daemon/sinks/compress\.)",
     "checksums stay in lib/formats, packing in daemon/sinks/compress"),
    (PRODUCT, r"boost/", r"lib/shm/segment\.", "Boost stays in the segment mapping"),
    (PRODUCT, r"spdlog/", r"daemon/", "only the service writes a log"),
    (r"examples/", r"(shm|record|client|store|daemon|cli|schema)/", None,
     "an example sees what an installed ringlog offers"),
]

# (where, what, except, instead).  The text has neither comments nor the insides of strings.
BANNED = [
    (r"(lib|daemon)/.*\.(h|cc)$", r"\b(v?f?printf|v?sprintf|v?dprintf)\s*\(", None,
     "the log, an Error, or snprintf"),
    (r"(lib|daemon|cli)/.*\.(h|cc)$", r"\b(strcpy|strcat|strtok|gets|rand|system|gmtime|localtime)"
     r"\s*\(", None, "what is bounded and safe with threads"),
    (r"(lib|daemon|cli)/.*\.(h|cc)$", r"\batomic_(wait|notify)|[.>]wait\s*\([^()]*memory_order",
     None, "shm/futex.h: the standard's waits do not cross processes"),
    (r"tests/.*\.(h|cc)$", r"\b(sleep_for|sleep_until|(u|nano|clock_nano)?sleep)\s*\(",
     r"tests/support/", "wait for what the test needs: a counter, a futex, a fake clock"),
    (r"tests/.*\.py$", r"\btime\.sleep\s*\(", r"tests/(support/|tidy_)",
     "the waiting helpers of tests/support"),
    (r"lib/.*\.h$", r"\busing namespace\b", None, "full names in headers"),
]


def is_cpp(path):
    return path.endswith((".h", ".cc"))


def is_code(path):
    return is_cpp(path) or path.endswith((".py", ".capnp", ".sh", ".cmake", ".js", "CMakeLists.txt")
                                         ) or path.startswith("scripts/")


def bare_cpp(text):
    """Blanks comments and the insides of strings; lines and columns stay where they are."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]{0,16})\(.*?\)(?P=mark)"'
        r'|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group()
        if found[0] == "/":
            return re.sub(r"[^\n]", " ", found)
        return '"' + re.sub(r"[^\n]", " ", found[1:-1]) + '"'

    return token.sub(blank, text)


def includes(text):
    """(line, name, angled) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if match:
            yield number, match.group(2), match.group(1) == "<"


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


# --- rules -----------------------------------------------------------------------------------


def public_headers(path, text):
    if not re.match(r"lib/include/ringlog/.*\.h$", path):
        return []
    allowed = CPP_STANDARD | C_STANDARD
    return [(number, f"a public header includes {name}: only standard headers and <ringlog/…>")
            for number, name, angled in includes(text)
            if not (angled and (name in allowed or name.startswith("ringlog/")))]


def layering(path, text):
    if not is_cpp(path):
        return []
    return [(number, f"includes {name}: {why}")
            for number, name, _ in includes(text)
            for where, what, except_in, why in LAYERS
            if re.match(where, path) and re.match(what, name)
            and not (except_in and re.match(except_in, path))]


def file_length(path, text):
    count = len(text.splitlines())
    if not is_code(path) or count <= FILE_LINES_MAX:
        return []
    return [(count, f"{count} lines, more than {FILE_LINES_MAX}")]


def columns(path, text):
    if not is_cpp(path) and not path.endswith(".py"):
        return []
    return [(number, f"{len(line)} columns, more than {COLUMNS_MAX}")
            for number, line in enumerate(text.splitlines(), 1) if len(line) > COLUMNS_MAX]


def _is_scope(head):
    """Whether a brace after `head` opens a namespace or a type, whose functions count singly."""
    head = re.sub(r"\b(alignas|__attribute__)\s*\([^{]*?\)+|\[\[.*?\]\]", " ", head, flags=re.S)
    while re.match(r"\s*template\s*<", head):
        depth, end = 0, 0
        for end, char in enumerate(head):
            depth += {"<": 1, ">": -1}.get(char, 0)
            if char == ">" and depth == 0:
                break
        head = head[end + 1:]
        head = re.sub(r"^\s*requires\s*(\(.*?\)+|[\w:<>, ]+?>)", " ", head, flags=re.S)
    words = re.match(r"\s*(inline\s+)?(namespace|class|struct|union|enum|extern)\b", head)
    return bool(words) and "(" not in head


def cpp_functions(text):
    """(first line, line count) of each function body outside other functions."""
    bare = re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  bare_cpp(text))
    scopes = []  # True: a namespace or type; a number: the start of something else
    head_at = 0
    for match in re.finditer(r"[{};]", bare):
        at, char = match.start(), match.group()
        inside = bool(scopes) and scopes[-1] is not True
        if char == "{":
            head = bare[head_at:at]
            if inside or not _is_scope(head):
                is_value = head.rstrip().endswith(("=", ",", "(", "return"))
                scopes.append(None if inside or is_value else at - len(head.lstrip()))
            else:
                scopes.append(True)
        elif char == "}" and scopes:
            start = scopes.pop()
            if start is not True and start is not None:
                first = line_of(bare, start)
                yield first, line_of(bare, at) - first + 1
        if not inside or char == "}":
            head_at = at + 1


def function_length(path, text):
    if is_cpp(path):
        found = cpp_functions(text)
    elif path.endswith(".py"):
        found = [(node.lineno, node.end_lineno - node.lineno + 1) for node in ast.walk(
            ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    else:
        return []
    return [(line, f"a function of {count} lines, more than {FUNCTION_LINES_MAX}")
            for line, count in found if count > FUNCTION_LINES_MAX]


def header_start(path, text):
    if not path.endswith(".h"):
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = []
    if "#pragma once" not in lines:
        found.append((1, "no #pragma once"))
    first = next((line for line in lines if line != "#pragma once"), "")
    if not first.startswith(("//", "/*")):
        found.append((1, "the first thing in a header is a comment that says what it is for"))
    return found


def todo(path, text):
    if not is_code(path) or path.startswith("tests/tidy_"):
        return []
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for kind in re.findall(r"\bTODO\b(?:\((\w*)\))?", line):
            if kind == "now":
                found.append((number, "TODO(now) is to be done before the commit"))
            elif kind not in ("soon", "perf", "test"):
                found.append((number, "a TODO says its kind: TODO(now|soon|perf|test)"))
    return found


def banned_calls(path, text):
    bare = bare_cpp(text) if is_cpp(path) else text
    found = [(line_of(bare, match.start()), f"{match.group().rstrip('( ')}: use {instead}")
             for where, what, except_in, instead in BANNED
             if re.match(where, path) and not (except_in and re.match(except_in, path))
             for match in re.finditer(what, bare)]
    if re.match(r"(lib|daemon|cli)/", path) and "condition_variable" not in bare:
        found += [(line_of(bare, match.start()), "notify without a condition variable: shm/futex.h")
                  for match in re.finditer(r"\bnotify_(one|all)\s*\(", bare)]
    return found


def order_names(texts):
    """Names of memory orders that appear once only.  `texts`: {path: text}; returns
    [(path, line, message)], because the two ends of a protocol are in different files."""
    seen = {}
    for path, text in texts.items():
        if re.match(r"(lib|daemon)/", path) and is_cpp(path):
            for number, line in enumerate(text.splitlines(), 1):
                for name in re.findall(r"\bORDER ([a-z][a-z0-9_]*)", line):
                    seen.setdefault(name, []).append((path, number))
    return [(*places[0], f"ORDER {name} appears once; the other end of the protocol has none")
            for name, places in sorted(seen.items()) if len(places) < 2]


def order_comments(path, text):
    """An access with an order that publishes or acquires says which protocol it belongs to."""
    if not re.match(r"(lib|daemon)/.*\.(h|cc)$", path):
        return []
    lines = text.splitlines()
    return [(number, "a memory order without an ORDER comment beside it")
            for number, line in enumerate(bare_cpp(text).splitlines(), 1)
            if re.search(r"memory_order_(acq|release|seq)|atomic_thread_fence", line)
            and not any("ORDER " in near for near in lines[max(0, number - 9):number + 2])]


def test_names(path, _text):
    """CMake builds what matches a pattern; a test that matches none would never run."""
    match = re.match(r"tests/(shm|record|store|formats|reader|client|daemon|cli|hot_path)/"
                     r"[^/]*\.cc$", path)
    if match and not path.endswith("_test.cc"):
        return [(1, "not built: a unit test is named *_test.cc, a helper lives in tests/support")]
    match = re.match(r"tests/e2e/[^/]*\.py$", path)
    if match and not path.endswith("_test.py"):
        return [(1, "not run: a test is named *_test.py, a helper lives in tests/support")]
    return []


def _anonymous_heads(text):
    """(line, namespaces, head, end) of what stands directly in anonymous namespaces; `end` is the
    "{" or ";" that ends the head."""
    bare = re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  bare_cpp(text))
    scopes = []
    head_at = 0
    for match in re.finditer(r"[{};]", bare):
        at, end = match.start(), match.group()
        head = bare[head_at:at].strip()
        if scopes and scopes[-1] == "" and head and end != "}":
            names = [scope for scope in scopes if scope]
            if None not in scopes and not head.startswith("namespace"):
                start = at - len(bare[head_at:at].lstrip())
                yield line_of(bare, start), "::".join(names), head, end
        if end == "{":
            named = re.fullmatch(r"(?:inline\s+)?namespace\s*([\w:]*)", head)
            scopes.append(named.group(1) if named else None)
        elif end == "}" and scopes:
            scopes.pop()
        if None not in scopes or end == "{":
            head_at = at + 1


def _parameter_types(words):
    """The types of a parameter list, as far as they can be told from the names."""
    words = re.sub(r"<[^<>]*>", "<>", re.sub(r"<[^<>]*>", "<>", words))
    types = []
    for parameter in words.split(","):
        parameter = re.sub(r"=.*", "", parameter, flags=re.S).strip()
        types.append(re.sub(r"(?<=[\s&*>])\w+$", "", parameter).replace(" ", ""))
    return tuple(types)


def anonymous_names(path, text):
    """((folder, namespaces, name, kind), value, line) of each name; two of one key and different
    values, or two types, functions or constants at all, cannot be compiled as one file."""
    if not re.match(r"(lib|daemon|cli)/.*\.cc$", path):
        return
    folder = path.rpartition("/")[0] if path.startswith("lib/") else path.partition("/")[0]
    for line, names, head, end in _anonymous_heads(text):
        alias = re.match(r"using\s+(\w+)\s*=\s*(.*)", head, re.S)
        kind = re.match(r"(?:struct|class|union|enum(?:\s+class)?)\s+(\w+)", head)
        function = re.match(r"(?:template\s*<[^>]*>\s*)?[\w:<>,&*\s\[\]]*?\b(\w+)\s*\((.*)\)"
                            r"\s*(?:const|noexcept)?$", head, re.S)
        constant = re.match(r"[\w:<>,&*\s]*?\b([kg]_?[A-Z_]\w*)\b(?:\[\w*\])?\s*(?:=.*)?$", head,
                            re.S)
        if alias:
            yield (folder, names, alias.group(1), "alias"), re.sub(r"\s", "", alias.group(2)), line
        elif kind and end == "{":
            yield (folder, names, kind.group(1), "type"), None, line
        elif function and end == "{" and "=" not in head.partition("(")[0]:
            types = _parameter_types(function.group(2))
            yield (folder, names, function.group(1), types), None, line
        elif constant:
            yield (folder, names, constant.group(1), "constant"), None, line


def anonymous_twins(texts):
    """Sanitizer builds and clang-tidy compile files of a program or of a part of lib as one.
    `texts`: {path: text}; returns [(path, line, message)]."""
    seen = {}
    found = []
    for path, text in sorted(texts.items()):
        for key, value, line in anonymous_names(path, text):
            other, other_value = seen.setdefault(key, (path, value))
            if other != path and (value is None or value != other_value):
                found.append((path, line, f"{key[2]} has a twin in {other}, and both are anonymous:"
                              " builds that compile a folder as one file refuse it"))
    return found


# --- documents ---------------------------------------------------------------------------------


def _without_code(text):
    keep, fenced = [], False
    for line in text.splitlines():
        fence = line.lstrip().startswith(("```", "~~~"))
        keep.append("" if fenced or fence else re.sub(r"`[^`]*`", "`code`", line))
        fenced = fenced != fence
    return keep


def one_title(path, text):
    if not path.endswith(".md"):
        return []
    titles = [n for n, line in enumerate(_without_code(text), 1) if re.match(r"# \S", line)]
    if len(titles) == 1:
        return []
    return [(titles[1] if titles else 1, f"{len(titles)} titles (# …) instead of one")]


def anchors(text):
    """The names that headings get where the documents are shown."""
    names = set()
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        match = re.match(r"#{1,6} +(.*)", line)
        if match and not fenced:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1)).strip().lower()
            names.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return names


def links(text):
    """(line, target) of each link that is not a whole address."""
    for number, line in enumerate(_without_code(text), 1):
        for target in re.findall(r"\]\(\s*<?([^)\s>]+)", line):
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield number, target
