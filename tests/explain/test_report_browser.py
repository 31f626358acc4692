"""The report in a real browser: what a reader sees, clicks and types."""

import json
import os
import shutil

import pytest

from common.explain.report import write_report
from tests.explain.background_run_folder import make_background_run
from tests.explain.evidential_run_folder import make_evidential_run
from tests.explain.prototype_run_folder import make_prototype_run
from tests.explain.run_folder import HOSTILE, make_run

pytestmark = pytest.mark.browser

HOW = "the report is tested in a browser; get one with: sudo apt-get install chromium chromium-driver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",  # so that a click does not miss what is still scrolling
    "--disable-dev-shm-usage",  # containers give it little room
    "--remote-debugging-pipe",  # without it a busy machine may be too slow for the driver to find the browser
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(HOW)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(make_run(tmp_path_factory.mktemp("runs") / "demo", cases=8))


@pytest.fixture
def page(browser, report):
    show_width(browser, 1280)
    browser.get(report.as_uri())
    return browser


def show_width(browser, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def press(browser, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def named(key):
    from selenium.webdriver import Keys

    return getattr(Keys, key)


def focused(browser):
    return browser.switch_to.active_element


def wait_for(browser, condition):
    """Wait until a condition holds: a dialog tells its closing a moment after it has closed."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda _: condition())


def shown_cases(browser):
    script = "return [...document.querySelectorAll('[data-gallery] li:not([hidden])')].map(i => i.dataset.name)"
    return browser.execute_script(script)


def choose(browser, control, option):
    script = """const control = document.querySelector('.controls').elements[arguments[0]];
    control.value = arguments[1]; control.dispatchEvent(new Event('change', {bubbles: true}));"""
    browser.execute_script(script, control, option)


def loaded_sizes(browser, selector):
    """Widths of images once each has been asked to load."""
    script = """const done = arguments[arguments.length - 1];
    const images = [...document.querySelectorAll(arguments[0])];
    Promise.all(images.map(i => { i.loading = 'eager'; return i.decode().catch(() => 0); }))
      .then(() => done(images.map(i => i.naturalWidth)));"""
    return browser.execute_async_script(script, selector)


def test_it_renders_every_image_without_an_error(page):
    assert page.find_element("css selector", "h1").text.startswith("xml_explainer_classification")
    widths = loaded_sizes(page, "img")
    assert len(widths) == 8
    assert min(widths) > 0
    assert page.execute_script("return [...document.images].every(i => i.alt.length > 10)")
    assert [entry for entry in page.get_log("browser") if entry["level"] != "DEBUG"] == []


def test_it_asks_for_nothing_from_outside(page, report):
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    asked = [request["request"]["url"] for request in sent if request["documentURL"] == report.as_uri()]
    assert report.as_uri() in asked
    assert [url for url in asked if not url.startswith((report.as_uri(), "data:"))] == []


def test_a_hostile_case_name_does_nothing_but_stand_there(page):
    assert HOSTILE in shown_cases(page)
    assert page.execute_script("return document.scripts.length") == 1
    assert any(element.text == HOSTILE for element in page.find_elements("css selector", ".case"))


@pytest.mark.parametrize("width", [360, 768])
def test_it_fits_narrow_screens(page, width):
    show_width(page, width)
    page.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    outside = """const wide = [];
    for (const element of document.querySelectorAll('main *')) {
      if (element.closest('.scroll, pre, svg')) continue;
      const box = element.getBoundingClientRect();
      if (box.right > innerWidth + 1 || box.left < -1) wide.push(element.outerHTML.slice(0, 80));
    }
    return wide;"""
    assert page.execute_script(outside) == []
    targets = "return [...document.querySelectorAll('.controls select')].map(e => e.getBoundingClientRect().height)"
    assert min(page.execute_script(targets)) >= 24


def test_a_card_opens_turns_and_closes_by_keyboard(page):
    names = shown_cases(page)
    first = page.find_element("css selector", "[data-gallery] li button")
    page.execute_script("arguments[0].focus()", first)
    press(page, named("ENTER"))
    dialog = page.find_element("css selector", "dialog")
    assert dialog.get_attribute("open") is not None
    assert loaded_sizes(page, "dialog img") == [1000]
    assert names[0] in dialog.find_element("css selector", "img").get_attribute("alt")
    press(page, named("ARROW_RIGHT"))
    assert names[1] in dialog.find_element("css selector", "img").get_attribute("alt")
    press(page, named("ARROW_LEFT"), named("ARROW_LEFT"))
    assert names[-1] in dialog.find_element("css selector", "img").get_attribute("alt")
    press(page, named("ESCAPE"))
    assert dialog.get_attribute("open") is None
    wait_for(page, lambda: focused(page).find_element("xpath", "..").get_attribute("data-name") == names[-1])


def test_tab_stays_in_the_open_card(page):
    page.find_element("css selector", "[data-gallery] li button").click()
    for _ in range(4):
        inside = "return document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert page.execute_script(inside)
        press(page, named("TAB"))
    page.find_element("css selector", "[data-close]").click()
    assert page.find_element("css selector", "dialog").get_attribute("open") is None


def test_the_gallery_sorts_and_filters(page):
    assert shown_cases(page)[:2] == sorted(shown_cases(page)[:2], key=lambda name: -error(page, name))
    outcomes = "return [...document.querySelectorAll('[data-gallery] li')].map(i => i.dataset.outcome)"
    assert page.execute_script(outcomes)[:3] == ["wrong", "wrong", "correct"]
    choose(page, "sort", "sure")
    confidences = "return [...document.querySelectorAll('[data-gallery] li')].map(i => Number(i.dataset.confidence))"
    assert page.execute_script(confidences) == sorted(page.execute_script(confidences), reverse=True)
    choose(page, "sort", "unsure")
    assert page.execute_script(confidences) == sorted(page.execute_script(confidences))
    choose(page, "sort", "name")
    plain = [name for name in shown_cases(page) if name != HOSTILE]
    assert plain == sorted(plain)
    choose(page, "outcome", "wrong")
    assert shown_cases(page) == ["shapes_0002", "shapes_0005"]
    assert page.find_element("css selector", ".controls output").text == "2 of 8 cases"
    choose(page, "true", "triangle")
    assert shown_cases(page) == ["shapes_0005"]


def error(page, name):
    script = "return [...document.querySelectorAll('li')].find(i => i.dataset.name === arguments[0]).dataset.error"
    return float(page.execute_script(script, name))


def test_a_table_sorts_by_keyboard_and_says_so(page):
    table = page.find_element("css selector", "#quality table")
    head = table.find_elements("css selector", "thead th")[1]
    page.execute_script("arguments[0].focus()", head.find_element("css selector", "button"))
    orders = "return [...arguments[0].tBodies[0].rows].map(r => Number(r.cells[1].dataset.order))"
    for direction, backwards in (("descending", True), ("ascending", False)):
        press(page, named("ENTER"))
        assert head.get_attribute("aria-sort") == direction
        values = page.execute_script(orders, table)
        assert values == sorted(values, reverse=backwards)
    table.find_element("css selector", "thead th button").click()
    names = [row.text for row in table.find_elements("css selector", "tbody th")]
    assert names == sorted(names)
    assert head.get_attribute("aria-sort") is None


def test_the_first_tab_offers_to_skip_to_the_results(page):
    press(page, named("TAB"))
    assert focused(page).text == "Skip to the results"
    press(page, named("ENTER"))
    assert page.execute_script("return document.activeElement.id") == "main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(page, scheme):
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    script = "const s = getComputedStyle(document.querySelector(arguments[0])); return s.getPropertyValue(arguments[1])"
    ground = page.execute_script(script, "body", "background-color")
    for selector in ("body", ".note", "nav a", ".gallery .wrong", "small"):
        assert contrast(page.execute_script(script, selector, "color"), ground) >= 4.5, selector
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, other):
    """WCAG contrast of two ``rgb(...)`` colours, 1 to 21."""

    def luminance(colour):
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.fixture(scope="module")
def evidential_report(tmp_path_factory):
    return write_report(make_evidential_run(tmp_path_factory.mktemp("evidential")))


@pytest.fixture
def evidential_page(browser, evidential_report):
    show_width(browser, 1280)
    browser.get(evidential_report.as_uri())
    return browser


def test_pages_about_uncertainty_render_without_an_error(evidential_page):
    assert min(loaded_sizes(evidential_page, "img")) > 0
    shown = "return [...document.querySelectorAll(arguments[0])].map(f => f.getBoundingClientRect().height)"
    assert len(evidential_page.execute_script(shown, "#uncertainty figure")) == 4
    assert min(evidential_page.execute_script(shown, "#uncertainty figure")) > 150
    assert [entry for entry in evidential_page.get_log("browser") if entry["level"] != "DEBUG"] == []


def test_the_most_uncertain_cases_come_first(evidential_page):
    uncertainties = "return [...document.querySelectorAll('[data-gallery] li')].map(i => Number(i.dataset.uncertainty))"
    values = evidential_page.execute_script(uncertainties)
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 6
    choose(evidential_page, "sort", "wrong")
    assert evidential_page.execute_script(uncertainties) != values
    choose(evidential_page, "predicted", "glaucoma")
    choose(evidential_page, "outcome", "wrong")
    assert shown_cases(evidential_page) == ["eye_2"]


def test_a_folded_table_opens_and_sorts(evidential_page):
    summary = evidential_page.find_element("css selector", "#robustness .scroll").find_element("xpath", "../summary")
    evidential_page.execute_script("arguments[0].focus()", summary)
    press(evidential_page, named("ENTER"))
    table = evidential_page.find_element("css selector", "#robustness table")
    assert table.is_displayed()
    table.find_elements("css selector", "thead button")[1].click()
    orders = "return [...arguments[0].tBodies[0].rows].map(r => r.cells[1].dataset.order)"
    assert evidential_page.execute_script(orders, table)[-1] == "-inf", "what is undefined comes last"


@pytest.mark.parametrize("width", [390, 768])
def test_pages_about_uncertainty_fit_narrow_screens(evidential_page, width):
    show_width(evidential_page, width)
    evidential_page.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert evidential_page.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_about_prototypes_render_and_fit_the_screen(browser, tmp_path, width):
    report = write_report(make_prototype_run(tmp_path / "prototypes", cases=1, prototypes=(8, 2)))
    show_width(browser, width)
    browser.get(report.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert min(loaded_sizes(browser, ".tiles img")) > 400
    visible = (
        "return [...document.querySelectorAll('.tiles img')].filter(i => i.checkVisibility() && i.clientWidth > 250)"
    )
    assert len(browser.execute_script(visible)) == 8, "six and two, the other two are folded"
    browser.execute_script("document.querySelector('#prototypes details').open = true")
    assert len(browser.execute_script(visible)) == 10
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_about_several_diseases_render_and_fit_the_screen(browser, tmp_path, width):
    report = write_report(make_background_run(tmp_path / "diseases", cases=1))
    show_width(browser, width)
    browser.get(report.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = "return [...document.querySelectorAll('#multilabel figure')].map(f => f.getBoundingClientRect().width)"
    assert min(browser.execute_script(sizes)) > 280, "numbers stay readable: what is too wide scrolls"
    letters = (
        "return [...document.querySelectorAll('#multilabel figure text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(browser.execute_script(letters)) >= 8
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"] == []
