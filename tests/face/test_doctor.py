"""gossamer doctor."""


def test_doctor_finds_this_installation_healthy(gossamer):
    answer = gossamer("doctor", "--json")
    assert answer.status == 0
    findings = {f["what"]: f for f in answer.json["findings"]}
    assert answer.json["healthy"]
    for what in (
        "Python",
        "gossamer",
        "numpy",
        "numba",
        "torch",
        "cores",
        "processor, as numba sees it",
        "devices, as torch sees them",
        "data set digits",
    ):
        assert what in findings
    assert findings["data set digits"]["good"]
    assert findings["devices, as torch sees them"]["found"].startswith("cpu")


def test_what_is_missing_comes_with_a_remedy_and_status_1(gossamer, monkeypatch):
    from gossamer import doctor

    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "no-such-package"))
    answer = gossamer("doctor")
    assert answer.status == 1
    assert "MISSING" in answer.out
    assert "pip install gossamer" in answer.out


def test_optional_packages_and_data_do_not_count(gossamer, monkeypatch, tmp_path):
    from gossamer import doctor

    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-package": "viz"})
    answer = gossamer("doctor", "--data-dir", tmp_path / "nowhere")
    assert answer.status == 0
    assert "gossamer[viz]" in answer.out
    assert "GOSSAMER_DATA" in answer.out
