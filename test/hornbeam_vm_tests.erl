%%% hornbeam_vm: what is for the VM alone. What a stop means is tested from outside (python_tests/cli/test_stop.py).
-module(hornbeam_vm_tests).

-include_lib("eunit/include/eunit.hrl").

%% Of what somebody has set in place of the launcher nothing is named, and all is left.
what_is_for_its_own_allocator_goes_to_nobody_test() ->
    lists:foreach(fun(Name) -> os:putenv(Name, "1") end, ["HORNBEAM_VM_TEST_A", "HORNBEAM_VM_TEST_B", "HORNBEAM_VM_TEST_C"]),
    true = os:putenv("HORNBEAM_MALLOC", "HORNBEAM_VM_TEST_A HORNBEAM_VM_TEST_B"),
    ok = hornbeam_vm:forget_allocator(),
    Left = [Name || Name <- ["HORNBEAM_MALLOC", "HORNBEAM_VM_TEST_A", "HORNBEAM_VM_TEST_B", "HORNBEAM_VM_TEST_C"], os:getenv(Name) =/= false],
    true = os:unsetenv("HORNBEAM_VM_TEST_C"),
    ?assertEqual(["HORNBEAM_VM_TEST_C"], Left),
    ?assertEqual(ok, hornbeam_vm:forget_allocator()).
