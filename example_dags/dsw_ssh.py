"""
Create a notebook instance, run a command on it over SSH, save its image, and delete it, even if the command fails.

It needs Airflow's SSH provider (the extra `ssh`), and a connection `dsw_ssh` of type SSH: login root, port 22, and the
private key that matches the parameter `ssh_public_key`. The connection's host is replaced by the instance's, but older
SSH providers require one anyway. On the emulator `work` fails: its instances have no SSH server.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.ssh.operators.ssh import SSHOperator
from airflow.sdk import dag

from airflow_provider_dsw.operators.dsw import (
    DswCreateInstanceOperator,
    DswCreateSnapshotOperator,
    DswDeleteInstanceOperator,
    DswGetInstanceOperator,
)
from airflow_provider_dsw.sensors.dsw import DswInstanceSensor

WAIT: dict[str, Any] = {
    "poke_interval": 5,  # seconds; 10 to 30 are enough for a real instance
    "deferrable": True,
}
SSH = "UserVpc.ForwardInfos[?Name=='ssh'] | [0].ConnectInfo"
PARAMS = {
    "vpc_id": "vpc-00001",
    "vswitch_id": "vsw-00001",
    "security_group_id": "sg-000001",
    "ssh_public_key": "ssh-ed25519 AAAA",
    "command": "nvidia-smi; python3 /mnt/workspace/train.py",
}


@dag(
    schedule=None,
    params=PARAMS,
    description="Create an instance, run a command on it over SSH, save its image, and delete it.",
    tags=["dsw"],
    doc_md=__doc__,
)
def dsw_ssh() -> None:
    create = DswCreateInstanceOperator(
        task_id="create",
        body={
            # At most 27 letters, digits and underscores; never the same twice, if the service refuses that.
            "InstanceName": "airflow_{{ dag_run.run_after | ds_nodash }}_{{ ti.id.hex[-8:] }}",
            "EcsSpec": "ecs.gn6i-c4g1.xlarge",
            "ImageUrl": "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/modelscope:1.31.0",
            "UserVpc": {
                "VpcId": "{{ params.vpc_id }}",
                "VSwitchId": "{{ params.vswitch_id }}",
                "SecurityGroupId": "{{ params.security_group_id }}",
                "ForwardInfos": [
                    {
                        "Name": "ssh",
                        "Enable": True,
                        "ForwardPort": "22",
                        "SSHPublicKey": "{{ params.ssh_public_key }}",
                        "AccessType": ["intranet"],
                    }
                ],
            },
        },
        stop_after=timedelta(hours=2),  # even if Airflow does not live to delete it
        retries=5,  # no stock, for instance: each retry asks again
        **WAIT,
    )
    created: Any = create.output
    instance: dict[str, Any] = {"instance_id": created["InstanceId"]}

    # An instance that is Running may not accept SSH yet.
    ready = DswInstanceSensor(task_id="wait_for_ssh", until=f"{SSH}.Phase == 'Ready'", timeout=600, **instance, **WAIT)
    address = DswGetInstanceOperator(task_id="address", fields={"host": f"{SSH}.Intranet.Endpoint"}, **instance)
    work = SSHOperator(
        task_id="work",
        ssh_conn_id="dsw_ssh",
        remote_host="{{ ti.xcom_pull('address', key='host') }}",
        command="{{ params.command }}",
        cmd_timeout=60 * 60,  # seconds without any output; the provider's default is 10
    )
    snapshot = DswCreateSnapshotOperator(
        task_id="snapshot",
        # Neither the name that is made for it nor this URL is ever used twice, by whatever run or try.
        image_url="registry.cn-hangzhou.aliyuncs.com/my-namespace/training:{{ ti.id }}",
        **instance,
        **WAIT,
    )
    delete = DswDeleteInstanceOperator(task_id="delete", **instance, **WAIT)

    create.as_setup() >> ready >> address >> work >> snapshot >> delete.as_teardown(setups=create)


dsw_ssh()
