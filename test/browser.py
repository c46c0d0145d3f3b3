"""A real browser for tests of pages, where there is one: Chromium with its driver."""
import contextlib
import shutil

import pytest

CHROMIUM, DRIVER = ('chromium', 'chromium-browser', 'google-chrome'), 'chromedriver'


def chromium(path, dark=False):
    """Yield a selenium driver that shows a file; skip where there is no browser."""
    return open_chromium(path.resolve().as_uri(), dark)


@contextlib.contextmanager
def open_chromium(address, dark=False, size=(1000, 900)):
    """Yield a selenium driver that shows a page; skip where there is no browser."""
    webdriver = pytest.importorskip('selenium.webdriver', reason='needs selenium and Chromium')
    found, driver = next(filter(None, map(shutil.which, CHROMIUM)), None), shutil.which(DRIVER)
    if not found or not driver:
        pytest.skip('needs Chromium and its driver: apt install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage',
                     f'--window-size={size[0]},{size[1]}', '--enable-unsafe-swiftshader'):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    service = webdriver.ChromeService(driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        if dark:
            browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
                'features': [{'name': 'prefers-color-scheme', 'value': 'dark'}]})
        browser.set_script_timeout(120)
        browser.get(address)
        yield browser
    finally:
        browser.quit()


def errors(browser):
    """Return what the page has complained about."""
    return [entry['message'] for entry in browser.get_log('browser')
            if entry['level'] == 'SEVERE' and 'favicon' not in entry['message']]
