"""Checks the rules of tests/tidy_rules.py on the repository, and each rule on small texts."""

import os
import pathlib
import subprocess
import unittest

import tidy_rules as rules

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUFFIXES = (".h", ".cc", ".py", ".md", ".capnp", ".cmake", ".sh", ".js", "CMakeLists.txt")


def repository_files():
    """The repository's files as git knows them, or all but hidden ones and build/ without git."""
    try:
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z", "--cached",
             "--others", "--exclude-standard", "--deduplicate"],
            check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f[0] != "." and f not in ("build", "__pycache__")]
            listed += [str((pathlib.Path(folder) / f).relative_to(ROOT)) for f in files]
    return sorted(f for f in listed if (f.endswith(SUFFIXES) or f.startswith("scripts/"))
                  and (ROOT / f).is_file())


class Repository(unittest.TestCase):
    """Every file keeps every rule."""

    @classmethod
    def setUpClass(cls):
        cls.texts = {f: (ROOT / f).read_text(encoding="utf-8", errors="replace")
                     for f in repository_files()}

    def check(self, rule):
        found = [f"{path}:{line}: {message}" for path, text in self.texts.items()
                 for line, message in rule(path, text)]
        self.report(found)

    def report(self, found):
        if found:
            self.fail("\n" + "\n".join(found))

    def test_finds_the_sources(self):
        for path in ("lib/include/ringlog/ringlog.h", "tests/tidy_rules.py", "CMakeLists.txt"):
            self.assertIn(path, self.texts)

    def test_public_headers_include_the_standard_library_only(self):
        self.check(rules.public_headers)

    def test_layering(self):
        self.check(rules.layering)

    def test_file_length(self):
        self.check(rules.file_length)

    def test_function_length(self):
        self.check(rules.function_length)

    def test_columns(self):
        self.check(rules.columns)

    def test_headers_start_with_a_comment(self):
        self.check(rules.header_start)

    def test_todos_have_a_kind(self):
        self.check(rules.todo)

    def test_banned_calls(self):
        self.check(rules.banned_calls)

    def test_memory_orders_are_explained(self):
        self.check(rules.order_comments)

    def test_memory_orders_have_two_ends(self):
        self.report([f"{path}:{line}: {message}"
                     for path, line, message in rules.order_names(self.texts)])

    def test_anonymous_names_have_no_twin_in_their_folder(self):
        found = rules.anonymous_twins(self.texts)
        self.report([f"{path}:{line}: {message}" for path, line, message in found])

    def test_tests_are_run(self):
        self.check(rules.test_names)

    def test_documents_have_one_title(self):
        self.check(rules.one_title)

    def test_links_between_documents(self):
        found = []
        for path, text in self.texts.items():
            if path.endswith(".md"):
                found += [f"{path}:{line}: broken link {target}" for line, target
                          in rules.links(text) if not self.link_holds(path, text, target)]
        self.report(found)

    def link_holds(self, path, text, target):
        name, _, anchor = target.partition("#")
        if name.startswith("/"):
            return False
        other = (ROOT / path).parent / name if name else ROOT / path
        if not other.exists():
            return False
        if not anchor or other.suffix != ".md":
            return True
        return anchor in rules.anchors(other.read_text(encoding="utf-8") if name else text)


class Rules(unittest.TestCase):
    """Each rule finds what it is for and lets pass what it should."""

    def finds(self, rule, path, text, line=None):
        found = rule(path, text)
        self.assertTrue(found, f"nothing found in {text!r}")
        if line is not None:
            self.assertEqual([n for n, _ in found], [line])

    def passes(self, rule, path, text):
        self.assertEqual(rule(path, text), [])

    def test_public_headers(self):
        path = "lib/include/ringlog/run.h"
        self.finds(rules.public_headers, path, "#pragma once\n#include <capnp/message.h>\n", 2)
        self.finds(rules.public_headers, path, '#include "shm/ring.h"\n')
        self.finds(rules.public_headers, path, "#include <unistd.h>\n")
        self.passes(rules.public_headers, path, "#include <map>\n#include <ringlog/value.h>\n")
        self.passes(rules.public_headers, "lib/shm/ring.h", "#include <unistd.h>\n")

    def test_layering(self):
        def bad(path, name):
            self.finds(rules.layering, path, f'#include "{name}"\n', 1)

        def good(path, name):
            self.passes(rules.layering, path, f"#include <{name}>\n")

        bad("lib/shm/ring.cc", "capnp/message.h")
        bad("lib/shm/ring.h", "kj/common.h")
        bad("lib/client/run.cc", "daemon/stream.h")
        bad("daemon/writer.cc", "leveldb/db.h")
        bad("cli/show.cc", "leveldb/db.h")
        bad("daemon/sender.cc", "curl/curl.h")
        bad("daemon/stream.h", "kj/async-io.h")
        bad("lib/shm/posix.cc", "boost/interprocess/mapped_region.hpp")
        bad("lib/client/run.cc", "store/reader.h")
        good("lib/store/store.cc", "leveldb/db.h")
        good("tests/store/store_test.cc", "leveldb/env.h")
        good("daemon/sinks/http_transport.cc", "curl/curl.h")
        good("daemon/server.h", "kj/async-io.h")
        good("daemon/web_page.cc", "kj/compat/http.h")
        good("daemon/main.cc", "kj/async-unix.h")
        good("lib/shm/segment.cc", "boost/interprocess/mapped_region.hpp")
        good("lib/record/encode.cc", "capnp/message.h")

    def test_lengths(self):
        self.finds(rules.file_length, "lib/a.cc", "\n" * 501, 501)
        self.passes(rules.file_length, "lib/a.cc", "\n" * 500)
        self.passes(rules.file_length, "docs/a.md", "\n" * 900)
        self.finds(rules.columns, "lib/a.cc", "x\n" + "y" * 101 + "\n", 2)
        self.passes(rules.columns, "lib/a.py", "…" * 100)

    def test_function_length(self):
        body = "  f();\n" * 69
        long_ones = [
            "void f() {\n%s}\n",
            "namespace a {\n\nclass B final : public C {\n  int f() const {\n%s  }\n};\n}\n",
            "template <class T, typename U = std::map<int, T>>\nT f(U u) noexcept\n{\n%s}\n",
            'Foo::Foo() : a_{1}, b_("{") {\n%s}\n',
            "TEST(Ring, Wraps) {\n%s}\n",
            "struct alignas(64) S {\n  void f() {\n%s  }\n};\n",
            'extern "C" {\nint f(void) {\n%s}\n}\n',
            "auto f() -> int {\n  if (a) {\n%s  }\n}\n",
            "const auto f = [](int a) {\n%s};\n",
            "#define OPEN {\nvoid g() { char c = '{'; }\nvoid f() {\n%s}\n",
        ]
        for text in long_ones:
            with self.subTest(text):
                self.assertEqual(len(rules.function_length("lib/a.cc", text % body)), 1)
                self.passes(rules.function_length, "lib/a.cc", text % "  f();\n")
        self.finds(rules.function_length, "lib/a.cc", "int a;\nvoid f() {\n" + body + "}\n", 2)
        self.passes(rules.function_length, "lib/a.cc", "int a[] = {\n" + "  1,\n" * 90 + "};\n")
        self.passes(rules.function_length, "lib/a.h", "struct A {\n" + "  int a;\n" * 90 + "};\n")
        self.passes(rules.function_length, "lib/a.h", "enum class A {\n" + "  b,\n" * 90 + "};\n")
        self.passes(rules.function_length, "lib/a.cc", "void f();\n// {\n" * 50 + "void f() {}\n")
        python = "def f():\n" + "    pass\n" * 70
        self.finds(rules.function_length, "tests/a.py", python, 1)
        self.passes(rules.function_length, "tests/a.py", python[:-len("    pass\n")])

    def test_header_start(self):
        self.passes(rules.header_start, "lib/a.h", "#pragma once\n// What it is for.\n")
        self.passes(rules.header_start, "lib/a.h", "// What it is for.\n#pragma once\n")
        self.finds(rules.header_start, "lib/a.h", "// What it is for.\n")
        self.finds(rules.header_start, "lib/a.h", "#pragma once\n#include <map>\n// Late.\n")

    def test_todo(self):
        self.finds(rules.todo, "lib/a.cc", "// TODO: later\n")
        self.finds(rules.todo, "lib/a.cc", "\n// TODO(now): before this is committed\n", 2)
        self.finds(rules.todo, "lib/a.cc", "// TODO(somebody): later\n")
        self.passes(rules.todo, "lib/a.cc", "// TODO(perf): one copy less\n")

    def test_banned_calls(self):
        def bad(path, text):
            self.finds(rules.banned_calls, path, text, 1)

        bad("lib/a.cc", 'std::printf("%d", 1);')
        bad("daemon/a.cc", 'fprintf(stderr, "x");')
        bad("lib/a.cc", "word.notify_all();")
        bad("daemon/a.cc", "std::atomic_wait(&word, 1);")
        bad("lib/a.cc", "word.wait(1, std::memory_order_acquire);")
        bad("tests/shm/a_test.cc", "std::this_thread::sleep_for(1ms);")
        bad("tests/shm/a_test.cc", "usleep(10);")
        bad("tests/e2e/a_test.py", "time.sleep(1)")
        self.passes(rules.banned_calls, "lib/a.cc", 'std::snprintf(b, 4, "%d", 1);')
        self.passes(rules.banned_calls, "lib/a.cc", '// printf() is slow\nauto s = "printf(";')
        self.passes(rules.banned_calls, "daemon/a.cc",
                    "std::condition_variable c; c.notify_one(); handle.wait(1s);")
        self.passes(rules.banned_calls, "tests/support/wait.py", "time.sleep(1)")

    def test_orders(self):
        store = "  // ORDER tail: publishes it.\n  tail.store(1, std::memory_order_release);\n"
        once = {"lib/a.cc": store}
        self.assertEqual([(p, n) for p, n, _ in rules.order_names(once)], [("lib/a.cc", 1)])
        self.assertEqual(rules.order_names({**once, "daemon/b.h": "int a;  // ORDER tail\n"}), [])
        self.assertEqual(len(rules.order_names({**once, "tests/b.cc": "// ORDER tail"})), 1)
        self.passes(rules.order_comments, "lib/a.cc", store)
        bare = store.split("\n", 1)[1]
        self.finds(rules.order_comments, "lib/a.cc", bare, 1)
        self.passes(rules.order_comments, "tests/a.cc", bare)
        self.passes(rules.order_comments, "lib/a.cc", bare.replace("release", "relaxed"))

    def test_anonymous_twins(self):
        def found(*texts, folder="daemon"):
            return [message.split()[0] for _, _, message in rules.anonymous_twins(
                {f"{folder}/{name}.cc": f"namespace ringlog {{\nnamespace {{\n{text}\n}}\n}}\n"
                 for name, text in zip("abc", texts)})]
        self.assertEqual(found("int f(int a) { return a; }", "int f(int b) { return b; }"), ["f"])
        self.assertEqual(found("int f(int a) { return a; }", "int f(double b) { return b; }"), [])
        self.assertEqual(found("struct S { int f() { return 1; } };", "struct S {};"), ["S"])
        self.assertEqual(found("struct A { int f() { return 1; } };",
                               "struct B { int f() { return 1; } };"), [])
        self.assertEqual(found("constexpr int kMax = 1;", "constexpr size_t kMax = 2;"), ["kMax"])
        self.assertEqual(found("using L = List<A>;", "using L = List<B>;"), ["L"])
        self.assertEqual(found("using L = List<A>;", "using L = List<A>;"), [])
        self.assertEqual(found("int f();", "int f() { return kMax; }"), [])
        self.assertEqual(found("struct S {};", "struct S {};", folder="tests"), [])
        other = "namespace x {\nnamespace {\nint f() { return 1; }\n}\n}\n"
        self.assertEqual(rules.anonymous_twins({"cli/a.cc": other, "lib/shm/b.cc": other}), [])

    def test_test_names(self):
        self.finds(rules.test_names, "tests/shm/ring.cc", "")
        self.finds(rules.test_names, "tests/e2e/crash.py", "")
        self.passes(rules.test_names, "tests/shm/ring_test.cc", "")
        self.passes(rules.test_names, "tests/e2e/writer.cc", "")

    def test_documents(self):
        self.passes(rules.one_title, "a.md", "# One\n\n```sh\n# a comment\n```\n## Two\n")
        self.finds(rules.one_title, "a.md", "# One\n# Two\n", 2)
        self.finds(rules.one_title, "a.md", "## One\n")
        text = "[a](b.md#c)\n`[no](link)` [b](https://example.org) ![p](p.png)\n```\n[n](n)\n```\n"
        self.assertEqual(list(rules.links(text)), [(1, "b.md#c"), (2, "p.png")])
        self.assertEqual(rules.anchors("## 2. The `ring`, drawn\n"), {"2-the-ring-drawn"})


if __name__ == "__main__":
    unittest.main()
